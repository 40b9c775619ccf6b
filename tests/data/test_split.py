"""The split is the legacy generator's, whatever the global generator is doing."""

# ruff: noqa: NPY002
import numpy as np
import pytest

from resnet_jax.data import split_indices


def test_order_is_the_legacy_shuffle_of_a_list():
    state = np.random.get_state()
    try:
        np.random.seed(123)
        order = list(range(50_000))
        np.random.shuffle(order)
    finally:
        np.random.set_state(state)
    train, validation = split_indices(50_000)
    assert validation.tolist() == order[:5000]
    assert train.tolist() == order[5000:]
    assert train.dtype == validation.dtype == np.int64


def test_global_generator_is_left_alone():
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    split_indices(100)
    assert np.random.rand() == expected


@pytest.mark.parametrize(("n", "fraction", "count"), [(19, 0.1, 1), (10, 0.0, 0), (9, 0.5, 4)])
def test_validation_is_the_floor_of_the_fraction(n, fraction, count):
    train, validation = split_indices(n, fraction=fraction, seed=1)
    assert len(validation) == count
    assert sorted([*train, *validation]) == list(range(n))


def test_seed_changes_the_split():
    assert split_indices(100, seed=1)[1].tolist() != split_indices(100, seed=2)[1].tolist()


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, r"`n` \(=0\)"),
        (10, {"fraction": 1.0}, r"`fraction` \(=1.0\)"),
        (10, {"fraction": -0.1}, r"`fraction` \(=-0.1\)"),
        (10, {"seed": -1}, r"`seed` \(=-1\)"),
        (10, {"seed": 2**32}, r"`seed` \(=4294967296\)"),
    ],
)
def test_bad_arguments_are_named(n, options, message):
    with pytest.raises(ValueError, match=message):
        split_indices(n, **options)
