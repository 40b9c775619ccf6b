"""Batches cover every example; shuffling depends on the key and the epoch alone."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_jax.data import epoch_permutation, eval_batches, num_batches


def test_permutation_is_a_function_of_key_and_epoch():
    key = jax.random.key(3)
    orders = [np.asarray(epoch_permutation(key, epoch, 500)) for epoch in range(3)]
    for order in orders:
        assert order.dtype == np.int32
        assert sorted(order) == list(range(500))
    assert np.array_equal(orders[1], epoch_permutation(key, 1, 500))
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], epoch_permutation(jax.random.key(4), 0, 500))


def test_permutation_compiles_once_for_all_epochs():
    order = jax.jit(epoch_permutation, static_argnums=2)
    key = jax.random.key(0)
    for epoch in range(3):
        assert np.array_equal(order(key, epoch, 50), epoch_permutation(key, epoch, 50))
    assert order._cache_size() == 1


@pytest.mark.parametrize(
    ("n", "size", "kept", "dropped"),
    [(45_000, 256, 176, 175), (512, 256, 2, 2), (3, 4, 1, 0), (4, 4, 1, 1)],
)
def test_number_of_batches(n, size, kept, dropped):
    assert num_batches(n, size) == kept
    assert num_batches(n, size, drop_last=True) == dropped


@pytest.mark.parametrize(("n", "size", "name"), [(0, 4, "n"), (4, 0, "batch_size")])
def test_bad_sizes_are_named(n, size, name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\)"):
        num_batches(n, size)
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\)"):
        list(eval_batches(n, size))


@given(st.integers(1, 200), st.integers(1, 40))
def test_evaluation_sees_each_example_once_in_equal_batches(n, size):
    batches = list(eval_batches(n, size))
    assert len(batches) == num_batches(n, size)
    assert all(i.shape == m.shape == (size,) for i, m in batches)
    assert all(i.dtype == np.int32 and m.dtype == bool for i, m in batches)
    seen = np.concatenate([indices[mask] for indices, mask in batches])
    assert seen.tolist() == list(range(n))
    assert all(0 <= i < n for indices, _ in batches for i in indices)
