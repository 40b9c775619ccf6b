"""Training in bfloat16 and in float32: what stays float32, and how far the losses differ."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny_task import tiny_model

from resnet_jax.training import Engine, Epoch, create_state, make_optimizer, make_train_step

STEPS = 60


def curve(task, dtype):
    """Return the losses of 60 steps on 150 digits, and model and state after them."""
    model = task.model.clone(dtype=dtype)
    engine = Engine.create("jit", devices=jax.devices()[:1])
    tx = make_optimizer(0.02)
    state = engine.replicate(create_state(model, tx, jax.random.key(0), (1, 8, 8, 1)))
    step = make_train_step(model, tx, engine=engine, prepare=task.prepare)
    key = engine.share(jax.random.key(1))
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(150)[:48] for _ in range(STEPS)])
    images, labels = engine.replicate((task.train.images, task.train.labels))
    epoch = Epoch(images, labels, engine.put(order, 1))
    losses = []
    for _ in range(STEPS):
        state, metrics = step(state, epoch, key)
        losses.append(metrics["loss"])
    return model, state, losses


def test_the_training_curve_is_that_of_float32(task):
    model, state, losses = curve(task, jnp.bfloat16)
    _, _, exact = curve(task, jnp.float32)
    assert {loss.dtype for loss in losses} == {jnp.dtype(jnp.float32)}
    floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    assert {leaf.dtype for leaf in floats} == {jnp.dtype(jnp.float32)}
    images = jnp.zeros((2, 8, 8, 1), jnp.bfloat16)
    assert model.apply(state.variables, images).dtype == jnp.float32
    features = model.apply(state.variables, images, method="features")
    assert features["layer4"].dtype == jnp.bfloat16

    low, high = np.array(losses, np.float64), np.array(exact, np.float64)
    apart = np.abs(low - high) / high[0]
    assert low[-10:].mean() < 0.25 * low[0]
    # At any step within a tenth of the first loss, and 3 % of it on average.
    assert apart.max() < 0.1
    assert apart.mean() < 0.03


def test_bfloat16_is_really_computed_in():
    """Not float32 under another name: its outputs differ."""
    model = tiny_model()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    low = model.clone(dtype=jnp.bfloat16).apply(variables, x)
    difference = np.abs(low - model.apply(variables, x)).max()
    assert 0 < difference < 0.1
