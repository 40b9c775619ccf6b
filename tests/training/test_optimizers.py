"""What every optimizer of the table promises, whatever its rule."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.core import freeze

from resnet_jax.training import (
    OPTIMIZERS,
    OptimizerRule,
    get_learning_rate,
    has_own_schedule,
    make_optimizer,
    set_learning_rate,
)

PARAMS = {
    "conv1": {"kernel": np.full((1, 1, 2, 3), 1.5, np.float32)},
    "layer1_0": {
        "kernel": np.array([[2.0, -1.0], [0.5, 3.0]], np.float32),
        "bias": np.array([1.0, -2.0], np.float32),
    },
    "fc": {"kernel": np.full((3, 2), 3.0, np.float32)},
}
FACTORS = {"conv1": 0.0, "layer1": 0.25, "fc": 1.0}
# A value of each option that changes the result.
OPTIONS = {"nesterov": True, "beta2": 0.5}

pytestmark = pytest.mark.parametrize("name", OPTIMIZERS)


def stage_of(name):
    return name.partition("_")[0]


def gradients(step, params=PARAMS):
    return jax.tree.map(lambda leaf: jnp.cos(leaf + step), params)


def train(tx, params=PARAMS, steps=4, halve_at=2):
    """The parameters and the state after some steps, compiled once; the rate falls on the way."""
    params = jax.tree.map(jnp.asarray, params)
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(steps):
        if step == halve_at:
            state = set_learning_rate(state, get_learning_rate(state) / 2)
        updates, state = update(gradients(step, params), state, params)
        params = optax.apply_updates(params, updates)
    assert update._cache_size() == 1
    return params, state


def assert_equal(one, two, rtol=0.0):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), one, two)


def differ(one, two):
    return not all(jax.tree.leaves(jax.tree.map(np.array_equal, one, two)))


def test_the_table(name):
    assert isinstance(OPTIMIZERS[name], OptimizerRule)
    assert OPTIMIZERS[name].options.keys() <= OPTIONS.keys()
    with pytest.raises(TypeError):
        OPTIMIZERS[name] = OPTIMIZERS["sgd"]


def test_updates_are_like_the_parameters(name):
    tx = make_optimizer(0.1, name=name, weight_decay=0.01)
    state = tx.init(PARAMS)
    updates, after = tx.update(gradients(0), state, PARAMS)
    for one, two in ((updates, PARAMS), (after, state)):
        assert jax.tree.structure(one) == jax.tree.structure(two)
        for leaf, like in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            assert (leaf.shape, leaf.dtype) == (like.shape, like.dtype)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(updates))


def test_no_two_rows_are_the_same(name):
    result, _ = train(make_optimizer(0.1, name=name, weight_decay=0.5))
    for other in OPTIMIZERS.keys() - {name}:
        assert differ(result, train(make_optimizer(0.1, name=other, weight_decay=0.5))[0])


def test_the_learning_rate_is_a_leaf_that_scales_the_update(name):
    tx = make_optimizer(0.5, name=name, weight_decay=0.01)
    state = tx.init(PARAMS)
    assert state.hyperparams["learning_rate"] is get_learning_rate(state)
    assert get_learning_rate(state).dtype == np.float32
    assert not has_own_schedule(state)
    lower = set_learning_rate(state, 0.125)
    assert get_learning_rate(lower) == 0.125
    assert jax.tree.structure(lower) == jax.tree.structure(state)
    whole, _ = tx.update(gradients(0), state, PARAMS)
    quarter, _ = tx.update(gradients(0), lower, PARAMS)
    assert_equal(jax.tree.map(lambda leaf: leaf / 4, whole), quarter)


def test_a_schedule_as_the_learning_rate(name):
    """It gives what setting the rate gives, by stages as well."""
    for stages in ({}, {"factors": FACTORS, "stage_of": stage_of}):
        own = make_optimizer(lambda count: jnp.where(count < 2, 0.1, 0.05), name=name, **stages)
        state, params, update = own.init(PARAMS), PARAMS, jax.jit(own.update)
        assert has_own_schedule(state)
        for step in range(4):
            updates, state = update(gradients(step, params), state, params)
            params = optax.apply_updates(params, updates)
        assert_equal(params, train(make_optimizer(0.1, name=name, **stages))[0], rtol=1e-6)
        with pytest.raises(ValueError, match="by its own schedule"):
            set_learning_rate(state, 0.1)


def test_weight_decay_spares_biases_and_normalisations(name):
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    for kernels_only in (False, True):
        tx = make_optimizer(0.1, name=name, weight_decay=0.5, decay_kernels_only=kernels_only)
        updates, _ = tx.update(zeros, tx.init(PARAMS), PARAMS)
        moved = jax.tree.map(lambda leaf: bool(np.any(leaf)), updates)
        assert moved["layer1_0"] == {"kernel": True, "bias": not kernels_only}
        assert moved["conv1"] == moved["fc"] == {"kernel": True}


def test_each_stage_has_its_rate(name):
    options = {"name": name, "weight_decay": 0.01, "decay_kernels_only": True}
    params, _ = train(make_optimizer(0.1, factors=FACTORS, stage_of=stage_of, **options))
    for part in ("layer1_0", "fc"):
        alone = make_optimizer(0.1 * FACTORS[stage_of(part)], **options)
        assert_equal(params[part], train(alone, PARAMS[part])[0], rtol=1e-5)


def test_a_frozen_stage_stays_and_has_no_moments(name):
    options = {"name": name, "weight_decay": 0.01, "factors": FACTORS, "stage_of": stage_of}
    params, state = train(make_optimizer(0.1, **options))
    np.testing.assert_array_equal(params["conv1"]["kernel"], PARAMS["conv1"]["kernel"])
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    assert (3, 2) in shapes
    assert PARAMS["conv1"]["kernel"].shape not in shapes
    assert get_learning_rate(state) == np.float32(0.05)


def test_frozen_dicts_give_the_same(name):
    options = {"name": name, "weight_decay": 0.01, "factors": FACTORS, "stage_of": stage_of}
    frozen, _ = train(make_optimizer(0.1, **options), freeze(PARAMS))
    plain, _ = train(make_optimizer(0.1, **options))
    assert jax.tree.structure(frozen) == jax.tree.structure(freeze(PARAMS))
    assert_equal(frozen.unfreeze(), plain)


def test_no_argument_is_ignored(name):
    """Each either changes the result or is refused by its name."""
    plain, _ = train(make_optimizer(0.1, 0.9, name=name))
    assert differ(train(make_optimizer(0.1, 0.5, name=name))[0], plain)
    assert differ(train(make_optimizer(0.1, 0.9, name=name, weight_decay=0.5))[0], plain)
    for option, value in OPTIONS.items():
        if option in OPTIMIZERS[name].options:
            tx = make_optimizer(0.1, 0.9, name=name, **{option: value})
            assert differ(train(tx)[0], plain)
        else:
            message = rf"`{option}` \(={value}\) is not an option of {name}; leave it out"
            with pytest.raises(ValueError, match=message):
                make_optimizer(0.1, 0.9, name=name, **{option: value})


def test_numpy_scalars(name):
    options = {option: OPTIONS[option] for option in OPTIMIZERS[name].options}
    stages = {"factors": FACTORS, "stage_of": stage_of}
    numbers = {"weight_decay": 0.25, **options}
    plain = make_optimizer(0.5, 0.75, name=name, **numbers, **stages)
    scalars = {key: np.asarray(value)[()] for key, value in numbers.items()}
    stages["factors"] = {stage: np.float64(factor) for stage, factor in FACTORS.items()}
    numpy = make_optimizer(np.float32(0.5), np.float32(0.75), name=name, **scalars, **stages)
    arrays = {key: jnp.asarray(value) for key, value in numbers.items()}
    zero_d = make_optimizer(np.asarray(0.5), jnp.float32(0.75), name=name, **arrays, **stages)
    assert_equal(train(zero_d)[0], train(plain)[0])
    for one, two in zip(train(numpy), train(plain), strict=True):
        assert jax.tree.structure(one) == jax.tree.structure(two)
        assert_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0,), {}, r"`learning_rate` \(=0.0\) must be finite and above 0"),
        ((float("nan"),), {}, r"`learning_rate` \(=nan\) must be finite"),
        ((0.1, 1.2), {}, r"`momentum` \(=1.2\) must be at least 0 and below 1"),
        ((0.1,), {"weight_decay": -1.0}, r"`weight_decay` \(=-1.0\) must be finite and at least 0"),
        ((0.1,), {"beta2": 1.0}, r"`beta2` \(=1.0\) must be at least 0 and below 1"),
        ((0.1,), {"factors": {"fc": 1.0}}, "`factors` and `stage_of` must be given together"),
        ((0.1,), {"stage_of": stage_of}, "`factors` and `stage_of` must be given together"),
    ],
)
def test_bad_arguments(name, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(*arguments, name=name, **options)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"fc": 0.0}, "`factors` are all 0; at least one stage must learn"),
        ({"fc": 1.0, "conv1": -1.0}, r"`factors\['conv1'\]` \(=-1.0\) must be finite and at least"),
        ({"fc": float("nan")}, r"`factors\['fc'\]` \(=nan\) must be finite"),
        ({"fc": 1.0, "conv1": 0.0}, "`factors` must have a factor for 'layer1', the .* 'layer1_0'"),
    ],
)
def test_bad_factors(name, factors, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(0.1, name=name, factors=factors, stage_of=stage_of).init(PARAMS)
