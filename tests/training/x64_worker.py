"""Save what the library computes, for one setting of `jax_enable_x64`."""

import dataclasses
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from tiny_task import TRANSFORM, Small, digits, quiet_reporter, tiny_model, tiny_task

import resnet_jax as rj
from resnet_jax.data import epoch_permutation
from resnet_jax.data.augment import AUGMENTATIONS, Pipeline, make_augmentation
from resnet_jax.evaluation import grad_cam, predict_logits
from resnet_jax.ops import batch_norm_train, conv2d, max_pool
from resnet_jax.run import FitConfig, RunFolder, fit
from resnet_jax.training import Schedule, create_state, cross_entropy, make_optimizer

KEY = jax.random.key(3)
CONFIG = FitConfig(epochs=2, batch_size=48, eval_batch_size=64, seed=5, checkpoint_every=2)
MODEL = tiny_model()
IMAGES = digits(16)
OWN_RATE = optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(0.5, 0.1, 8))


class Dropped(nn.Module):
    """A dense layer and dropout."""

    @nn.compact
    def __call__(self, images, train=False):
        x = images.reshape(len(images), -1)
        return nn.Dense(10)(nn.Dropout(0.5, deterministic=not train)(x))


def small_task(**changes):
    return tiny_task(model=Small(), **changes)


def train(task, **config):
    """Return the state after two epochs."""
    config = dataclasses.replace(CONFIG, **config)
    return fit(task, config, reporter=quiet_reporter()).state


def train_in_parts(task, **config):
    """Return the state after two epochs, the second of which is a resumed run's."""
    config = dataclasses.replace(CONFIG, **config)
    with tempfile.TemporaryDirectory() as path:
        first = dataclasses.replace(config, epochs=1)
        fit(task, first, folder=RunFolder(Path(path) / "run"), reporter=quiet_reporter())
        folder = RunFolder(Path(path) / "run", resume=True)
        parts = fit(task, config, folder=folder, reporter=quiet_reporter()).state
    jax.tree.map(np.testing.assert_array_equal, parts, train(task, **vars(config)))
    return parts


def augmented(name):
    transform = rj.data.Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,))
    pipeline = Pipeline(transform, (make_augmentation(name),), num_classes=10)
    images, labels = jnp.asarray(IMAGES.images), jnp.asarray(IMAGES.labels)
    return jax.jit(pipeline)(images, labels, jax.random.split(KEY, 16))


def gradients(function, *shapes):
    """Return a function's values and gradients at random numbers."""
    random = np.random.default_rng(0)
    operands = [jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in shapes]

    def squares(*operands):
        return (function(*operands) ** 2).sum()

    return jax.jit(jax.value_and_grad(squares, tuple(range(len(shapes)))))(*operands)


def variables():
    return create_state(MODEL, make_optimizer(0.1), KEY, (1, 8, 8, 1)).variables


def torch_round_trip():
    back = rj.from_torch(MODEL, rj.to_torch(MODEL, variables()))
    head = rj.from_torch(MODEL, rj.to_torch(MODEL, variables()), head="reinit", head_key=KEY)
    return back, head


def group_norm():
    model = tiny_model(norm_layer=partial(rj.GroupNorm, num_groups=4))
    given = jax.jit(model.init)(KEY, jnp.zeros((1, 8, 8, 1), jnp.float32))
    return jax.jit(model.apply)(given, TRANSFORM.center(jnp.asarray(IMAGES.images)))


def in_bfloat16(**options):
    """Return logits and new statistics of a network that computes in bfloat16."""
    model = tiny_model(dtype=jnp.bfloat16, **options)
    x = TRANSFORM.center(jnp.asarray(IMAGES.images))
    given = jax.jit(model.init)(KEY, x)
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    return jax.jit(model.apply)(given, x), train(given, x)


def normalised(x):
    norm = rj.BatchNorm(dtype=jnp.float32)
    return norm.apply(norm.init(KEY, x), x, train=True, mutable=["batch_stats"])


CASES = {
    "state": lambda: create_state(MODEL, make_optimizer(0.1), KEY, (1, 8, 8, 1), ema=True),
    "permutation": lambda: epoch_permutation(KEY, 1, 100),
    "crops": lambda: TRANSFORM.random(jnp.asarray(IMAGES.images), KEY),
    **{f"augment {name}": partial(augmented, name) for name in AUGMENTATIONS},
    "cross-entropy": lambda: [
        cross_entropy(jnp.eye(4, dtype=jnp.float32), jnp.arange(4), label_smoothing=smoothing)
        for smoothing in (0.0, 0.1)
    ],
    "schedules": lambda: [
        jax.jit(Schedule(shape, 20, 4))(7) for shape in ("constant", "cosine", "onecycle")
    ],
    "conv 3x3": partial(gradients, conv2d, (4, 6, 6, 8), (3, 3, 8, 8)),
    "conv grouped": partial(gradients, partial(conv2d, groups=4), (4, 6, 6, 8), (3, 3, 2, 8)),
    "conv strided": partial(gradients, partial(conv2d, stride=(2, 2)), (4, 6, 6, 8), (3, 3, 8, 8)),
    "conv 1x1": partial(gradients, partial(conv2d, padding=(0, 0)), (4, 6, 6, 8), (1, 1, 8, 8)),
    "batch norm": partial(gradients, lambda *a: batch_norm_train(*a)[0], (4, 5, 5, 3), (3,), (3,)),
    "max pool": partial(gradients, max_pool, (2, 8, 8, 3)),
    "group norm": group_norm,
    "bfloat16": in_bfloat16,
    "bfloat16 and attention": partial(in_bfloat16, attention="eca"),
    "bfloat16, blur and averages": partial(in_bfloat16, anti_alias="blur", shortcut="average"),
    "bfloat16 normalised in float32": lambda: normalised(jnp.ones((2, 3, 3, 4), jnp.bfloat16)),
    "batch norm in forward mode": lambda: jax.jvp(
        lambda x: batch_norm_train(x, jnp.ones(3, jnp.float32), jnp.zeros(3, jnp.float32))[0],
        *[(TRANSFORM.center(jnp.asarray(IMAGES.images)).repeat(3, -1),)] * 2,
    ),
    "torch": torch_round_trip,
    "logits": lambda: predict_logits(
        MODEL, variables(), IMAGES.images, TRANSFORM.center, batch_size=12
    ),
    "grad-cam": lambda: grad_cam(
        MODEL, variables(), TRANSFORM.center(jnp.asarray(IMAGES.images)), jnp.arange(16) % 10
    ),
    "fit resnet": lambda: train(tiny_task(), epochs=1),
    "fit averages and micro-batches": lambda: train_in_parts(
        small_task(schedule=Schedule("cosine", 6, 2), controller=None),
        ema_decay=0.9,
        accumulate_steps=2,
    ),
    "fit own schedule": lambda: train(small_task(tx=OWN_RATE, controller=None)),
    "fit adamw": lambda: train(small_task(tx=make_optimizer(0.01, name="adamw"))),
    "fit dropout": lambda: train(tiny_task(model=Dropped()), epochs=1),
}


if __name__ == "__main__":
    errors, leaves = {}, {}
    for name, compute in CASES.items():
        try:
            result = jax.tree_util.tree_leaves_with_path(compute())
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
            continue
        for path, leaf in result:
            leaves[f"{name}/{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    np.savez(sys.argv[1], **leaves)
    print(json.dumps({"x64": jax.config.jax_enable_x64, "errors": errors}))
