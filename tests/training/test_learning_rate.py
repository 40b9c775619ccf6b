"""The learning rate that a step logs is the one it used, and the controlled one stays."""

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn

from resnet_jax.training import (
    Batch,
    Engine,
    Schedule,
    create_state,
    get_learning_rate,
    make_optimizer,
    make_train_step,
    set_learning_rate,
)

WARMUP = Schedule("constant", total_steps=5, warmup_steps=4)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(4)(images.reshape(len(images), -1))


def halving(count):
    return 0.5 * 0.5**count


def train(tx, schedule=None, *, engine=None, set_after_two=None):
    """The metrics of four steps and the state after them."""
    engine = engine or Engine.create("jit", devices=jax.devices()[:1])
    state = engine.replicate(create_state(Linear(), tx, jax.random.key(0), (1, 2, 2, 1)))
    step = make_train_step(Linear(), tx, engine=engine, schedule=schedule)
    images = np.random.default_rng(0).standard_normal((8, 2, 2, 1)).astype(np.float32)
    batch = engine.place(Batch(images, np.arange(8, dtype=np.int32) % 4))
    logged = []
    for number in range(4):
        if number == 2 and set_after_two is not None:
            rate = engine.replicate(np.float32(set_after_two))
            state = state.replace(opt_state=set_learning_rate(state.opt_state, rate))
        state, metrics = step(state, batch, engine.share(jax.random.key(1)))
        logged.append(metrics)
    return logged, engine.unreplicate(state)


def rates(logged):
    return [float(metrics["learning_rate"]) for metrics in logged]


def test_the_rate_that_was_set():
    logged, state = train(make_optimizer(0.5), set_after_two=0.125)
    assert rates(logged) == [0.5, 0.5, 0.125, 0.125]
    assert get_learning_rate(state.opt_state) == 0.125


@pytest.mark.parametrize(("parallel", "count"), [("jit", 1), ("jit", 4), ("pmap", 4)])
def test_a_schedule_multiplies_it_and_the_state_keeps_it(parallel, count):
    engine = Engine.create(parallel, devices=jax.devices()[:count])
    logged, state = train(make_optimizer(0.5), WARMUP, engine=engine, set_after_two=1.0)
    assert rates(logged) == [0.125, 0.25, 0.75, 1.0]
    assert get_learning_rate(state.opt_state) == 1.0
    for metrics in logged:
        assert {leaf.shape for leaf in metrics.values()} == {()}


@pytest.mark.parametrize(
    "tx",
    [
        make_optimizer(halving, 0.0),
        optax.inject_hyperparams(optax.sgd)(learning_rate=halving),
    ],
    ids=["ours", "optax"],
)
def test_an_optimizers_own_schedule(tx):
    """The logged rate is the one in the update, not the one before or after it."""
    logged, state = train(tx)
    assert rates(logged) == [0.5, 0.25, 0.125, 0.0625]
    by_hand, expected = train(make_optimizer(0.5, 0.0), lambda step: 0.5 ** step.astype(np.float32))
    np.testing.assert_allclose(rates(by_hand), rates(logged))
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-6),
        state.params,
        expected.params,
    )


def test_two_schedules():
    with pytest.raises(ValueError, match="computes its learning rate by its own schedule"):
        train(make_optimizer(halving), WARMUP)


@pytest.mark.parametrize("rate", [np.linspace(0, 1, 4), np.ones(1)])
def test_a_rate_with_axes(rate):
    state = create_state(Linear(), make_optimizer(0.1), jax.random.key(0), (1, 2, 2, 1))
    with pytest.raises(ValueError, match="`learning_rate` must be a scalar, not an array of shape"):
        set_learning_rate(state.opt_state, rate)


def test_a_schedule_of_optax_multiplies_the_rate():
    logged, _ = train(make_optimizer(0.5), optax.constant_schedule(0.5))
    assert rates(logged) == [0.25] * 4


def test_an_optimizer_without_a_rate_in_its_state():
    logged, _ = train(optax.sgd(0.1))
    assert set(logged[0]) == {"loss"}
    with pytest.raises(ValueError, match="has no learning rate; make the optimizer by"):
        train(optax.sgd(0.1), WARMUP)


def by_hand(learning_rate):
    """An optimizer of a user's own, without a learning rate in its state."""

    def update(gradients, state, params=None):
        del params
        return jax.tree.map(lambda leaf: -learning_rate * leaf, gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def two_rates():
    def label(params):
        return {"Dense_0": jax.tree.map(lambda leaf: str(leaf.ndim), params["Dense_0"])}

    parts = {"1": make_optimizer(0.1), "2": make_optimizer(0.2)}
    return optax.multi_transform(parts, label)


WITHOUT_ONE_RATE = {
    "plain": lambda: optax.sgd(0.1),
    "schedule": lambda: optax.sgd(halving),
    "chained schedule": lambda: optax.chain(
        optax.trace(0.9), optax.scale_by_schedule(lambda count: -halving(count))
    ),
    "by hand": lambda: by_hand(0.1),
    "MultiSteps": lambda: optax.MultiSteps(make_optimizer(0.1), every_k_schedule=2),
    "two rates": two_rates,
    "schedule-free": lambda: optax.contrib.schedule_free(make_optimizer(0.1), 0.1),
    "inside a chain": lambda: optax.chain(optax.clip(1.0), make_optimizer(0.1)),
    "other hyperparameters": lambda: optax.inject_hyperparams(optax.trace)(decay=0.9),
}


@pytest.mark.parametrize("name", WITHOUT_ONE_RATE)
def test_a_step_logs_no_rate_that_it_cannot_know(name):
    logged, state = train(WITHOUT_ONE_RATE[name]())
    assert {frozenset(metrics) for metrics in logged} == {frozenset({"loss"})}
    assert all(np.isfinite(metrics["loss"]) for metrics in logged)
    with pytest.raises(ValueError, match=r"\(a \w+\) has no learning rate; make the optimizer by"):
        set_learning_rate(state.opt_state, 0.1)
    with pytest.raises(ValueError, match=r"has no learning rate; .* around everything else"):
        train(WITHOUT_ONE_RATE[name](), WARMUP)


def test_a_chain_within_injected_hyperparameters_has_its_rate():
    def clipped(learning_rate):
        return optax.chain(optax.clip(1.0), optax.sgd(learning_rate))

    tx = optax.inject_hyperparams(clipped)(learning_rate=0.5)
    logged, _ = train(tx, WARMUP, set_after_two=1.0)
    assert rates(logged) == [0.125, 0.25, 0.75, 1.0]


def test_a_rate_for_each_of_several_parameters_is_refused():
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=np.array([0.1, 0.2], np.float32))
    with pytest.raises(ValueError, match=r"`learning_rate` must be a scalar, .* shape \(2,\)"):
        create_state(Linear(), tx, jax.random.key(0), (1, 2, 2, 1))


def test_numpy_scalars_change_nothing():
    plain, state = train(make_optimizer(0.5), WARMUP, set_after_two=0.25)
    schedule = Schedule("constant", total_steps=np.int64(5), warmup_steps=np.asarray(4))
    numpy, other = train(make_optimizer(np.float64(0.5)), schedule, set_after_two=np.float64(0.25))
    assert rates(numpy) == rates(plain)
    jax.tree.map(np.testing.assert_array_equal, other.params, state.params)
