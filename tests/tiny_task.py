"""One tiny task on real images, for every test that trains, and how results are compared.

Everything is the scikit-learn digits: 8×8 pixels, one channel, ten classes. `tiny_task` takes a few
seconds to compile; `tiny_task(model=Small())` less than one.
"""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from rich.console import Console
from sklearn.datasets import load_digits

import resnet_jax as rj
from resnet_jax.data import Arrays, Transform
from resnet_jax.run import Reporter, Sink, Task
from resnet_jax.training import make_optimizer

TRANSFORM = Transform(source=(8, 8), resize=10, crop=8, mean=(0.3,), std=(0.4,))


class Small(nn.Module):
    """Running statistics and a dense layer, quick to compile."""

    num_classes: int = 10
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, train=False):
        x = rj.BatchNorm(axis_name=self.axis_name)(images, train)
        return nn.Dense(self.num_classes)(x.reshape(len(x), -1))


class Falling(nn.Module):
    """Logits of one parameter each, from 0 on: the gradient of the first one's mean is 1."""

    @nn.compact
    def __call__(self, images, train=False):
        del train
        logits = self.param("logits", nn.initializers.zeros, (10,))
        return jnp.broadcast_to(logits, (len(images), 10))


def first_logit(logits, labels):
    """Return a loss of `Falling` that falls in every step by the learning rate of the step."""
    del labels
    return logits[:, 0]


def digits(count=200, first=0):
    """Return images `[count, 8, 8, 1]` of dtype uint8 and labels, from the `first` on."""
    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    part = slice(first, first + count)
    return Arrays(pixels[part], labels[part].astype(np.int32))


def tiny_model(**options):
    """Return a ResNet of four narrow blocks."""
    defaults = {"block": rj.BasicBlock, "layers": (1, 1, 1, 1), "base_planes": 8, "stem": "cifar"}
    return rj.ResNet(num_classes=10, **{**defaults, **options})


def random_crop(images, labels, keys):
    """Prepare a training batch."""
    return TRANSFORM.random(images, keys), labels


def center_crop(images, labels, keys):
    """Prepare an evaluation batch."""
    del keys
    return TRANSFORM.center(images), labels


def tiny_task(**changes):
    """Return a task of 150 training and 50 validation images, with fields changed."""
    task = Task(
        model=tiny_model(),
        tx=make_optimizer(0.05),
        controller=rj.ReduceLROnPlateau(patience=0),
        train=digits(150),
        valid=digits(50, first=150),
        prepare=random_crop,
        prepare_valid=center_crop,
    )
    return dataclasses.replace(task, **changes)


class StopAt(Sink):
    """Ends the run as a keyboard would, when the log says that a step is done."""

    def __init__(self, step):
        self.step = step

    def log(self, event):
        if event["step"] == self.step:
            raise KeyboardInterrupt


def assert_trees_equal(one, two):
    """Fail unless two trees have the same structure, and leaves equal in type and to the bit."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for (path, left), right in zip(
        jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(two), strict=True
    ):
        left, right = np.asarray(left), np.asarray(right)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert left.dtype == right.dtype, f"{name}: {left.dtype} and {right.dtype}"
        np.testing.assert_array_equal(left, right, err_msg=name)


def quiet_reporter():
    """Return a reporter whose lines are kept in `reporter.console.file` and not shown."""
    return Reporter(Console(file=io.StringIO(), highlight=False, soft_wrap=True))
