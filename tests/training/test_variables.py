"""Models of any kind in the training step: frozen variables, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.core import freeze

import resnet_jax as rj
from resnet_jax.training import (
    Batch,
    Engine,
    create_state,
    make_optimizer,
    make_train_step,
    train_step,
)

IMAGES = np.random.default_rng(0).standard_normal((16, 4, 4, 1)).astype(np.float32)
LABELS = np.arange(16, dtype=np.int32) % 4


class Normed(nn.Module):
    """A BatchNorm and a dense layer."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train=False):
        x = rj.BatchNorm(axis_name=self.axis_name)(images, train)
        return nn.Dense(4)(x.reshape(len(x), -1))


class Dropped(nn.Module):
    """Logits that are positive, or 0 by dropout."""

    @nn.compact
    def __call__(self, images, train=False):
        scale = self.param("scale", nn.initializers.ones, (4,))
        ones = jnp.ones((len(images), 4)) * scale[None]
        return nn.Dropout(0.5, deterministic=not train)(ones)


def engine_of(parallel="jit", count=1):
    return Engine.create(parallel, devices=jax.devices()[:count])


def train(model, engine, *, steps=2, variables=None, seed=1, **options):
    tx = make_optimizer(0.1)
    shape = (1, 4, 4, 1)
    ema = bool(options.get("ema_decay"))
    state = create_state(model, tx, jax.random.key(0), shape, variables=variables, ema=ema)
    state = engine.replicate(state)
    step = make_train_step(model, tx, engine=engine, **options)
    losses = []
    for _ in range(steps):
        batch = engine.place(Batch(IMAGES, LABELS))
        state, metrics = step(state, batch, engine.share(jax.random.key(seed)))
        losses.append(float(metrics["loss"]))
    return losses, engine.unreplicate(state)


@pytest.mark.parametrize("accumulate_steps", [1, 4])
@pytest.mark.parametrize(("parallel", "count"), [("jit", 1), ("jit", 2), ("pmap", 2)])
def test_frozen_variables_stay_frozen(accumulate_steps, parallel, count):
    model, engine = Normed(), engine_of(parallel, count)
    variables = model.init(jax.random.key(3), IMAGES[:1])
    options = {"accumulate_steps": accumulate_steps, "ema_decay": 0.9}
    plain_losses, plain = train(model, engine, variables=variables, **options)
    losses, state = train(model, engine, variables=freeze(variables), **options)
    assert losses == plain_losses
    assert jax.tree.structure(state.params) == jax.tree.structure(freeze(plain.params))
    assert jax.tree.structure(state.batch_stats) == jax.tree.structure(freeze(plain.batch_stats))
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(one, two)
    before = jax.tree.leaves(variables["batch_stats"])
    after = jax.tree.leaves(state.batch_stats)
    assert not all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def count_kept(logits, labels):
    return (logits > 0).sum(-1) * 1.0


def kept(engine, steps=12, **options):
    """How many logits dropout keeps in each step."""
    losses, _ = train(Dropped(), engine, steps=steps, loss_fn=count_kept, **options)
    return np.rint(np.array(losses) * len(IMAGES)).astype(int)


def test_dropout_draws_anew_in_every_step_and_by_the_key():
    counts = kept(engine_of())
    assert all(counts > 0)
    assert all(counts < 4 * len(IMAGES))
    assert len(set(counts)) > 1
    np.testing.assert_array_equal(counts, kept(engine_of()))
    assert (counts != kept(engine_of(), seed=2)).any()


@pytest.mark.parametrize(
    ("parallel", "count", "accumulate_steps"),
    [("jit", 2, 1), ("pmap", 2, 1), ("jit", 1, 2), ("jit", 2, 2)],
)
def test_dropout_differs_between_devices_and_micro_batches(parallel, count, accumulate_steps):
    """With one mask for all parts, the counts would be multiples of the number of parts."""
    counts = kept(engine_of(parallel, count), accumulate_steps=accumulate_steps)
    assert (counts % (count * accumulate_steps)).any()


def test_the_keys_of_the_examples_are_not_those_of_dropout():
    """They are a function of the run's key and the step alone, whatever else is drawn."""
    tx, key = make_optimizer(0.1), jax.random.key(1)
    state = create_state(Dropped(), tx, jax.random.key(0), (1, 4, 4, 1)).replace(step=jnp.int32(7))
    seen = []

    def prepare(images, labels, keys):
        seen.append(jax.random.key_data(keys))
        return images, labels

    batch = Batch(jnp.asarray(IMAGES), jnp.asarray(LABELS))
    train_step(state, batch, key, model=Dropped(), tx=tx, prepare=prepare)
    expected = jax.random.split(jax.random.fold_in(key, 7), len(IMAGES))
    np.testing.assert_array_equal(seen[0], jax.random.key_data(expected))
