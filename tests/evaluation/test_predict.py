from __future__ import annotations

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.evaluation import predict_logits


class Tiny(nn.Module):
    """A classifier whose output depends on the mode: BatchNorm and a dense layer."""

    num_classes: int = 4
    dtype: jnp.dtype = jnp.float32
    widths: tuple[int, ...] = (8,)

    @nn.compact
    def __call__(self, x, train=True):
        for width in self.widths:
            x = nn.Dense(width, dtype=self.dtype)(x.reshape(len(x), -1))
            x = nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype)(x)


@dataclasses.dataclass(frozen=True)
class Scale:
    """A transform with the shape of `Transform`; it records each trace."""

    factor: float
    traces: list = dataclasses.field(default_factory=list, compare=False)

    def center(self, images):
        self.traces.append(images.shape)
        return images.astype(jnp.float32) * self.factor


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 3, 5, 1), dtype=np.uint8)


@pytest.fixture
def variables(images):
    variables = Tiny().init(jax.random.key(0), images[:1].astype(np.float32), train=False)
    # Statistics unlike any batch's, so that train mode could not give the same logits.
    statistics = jax.tree.map(lambda leaf: leaf * 3 + 2, variables["batch_stats"])
    return {"params": variables["params"], "batch_stats": statistics}


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24, 256])
def test_logits_do_not_depend_on_the_batch_size(images, variables, batch_size):
    scale = Scale(1 / 255)
    logits = predict_logits(Tiny(), variables, images, scale.center, batch_size=batch_size)
    expected = Tiny().apply(variables, images.astype(np.float32) / 255, train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    assert logits.shape == (23, 4)
    assert logits.dtype == np.float32
    assert scale.traces == [(batch_size, 3, 5, 1)]


def test_a_batch_size_of_few_bits(variables):
    """Sums of it need more bits than it has."""
    images = np.random.default_rng(1).integers(0, 256, (300, 3, 5, 1), dtype=np.uint8)
    expected, logits = (
        predict_logits(Tiny(), variables, images, Scale(1 / 255).center, batch_size=size)
        for size in (100, np.uint8(100))
    )
    np.testing.assert_array_equal(logits, expected)


def test_one_image(images, variables):
    logits = predict_logits(Tiny(), variables, images[:1], Scale(1.0).center)
    assert logits.shape == (1, 4)


def test_the_second_call_compiles_nothing(images, variables):
    scale = Scale(1 / 255)
    first = predict_logits(Tiny(), variables, images, scale.center, batch_size=8)
    # Other values, another number of images, an equal model built anew: the same program.
    moved = jax.tree.map(lambda leaf: leaf + 1, variables)
    second = predict_logits(Tiny(), moved, images[:9], scale.center, batch_size=8)
    assert scale.traces == [(8, 3, 5, 1)]
    assert not np.allclose(first[:9], second)


def test_another_transform_is_not_taken_for_the_first(images, variables):
    bright = predict_logits(Tiny(), variables, images, Scale(1 / 255).center)
    dark = predict_logits(Tiny(), variables, images, Scale(1 / 510).center)
    assert not np.allclose(bright, dark)


def test_low_precision_logits_come_back_as_float32(images, variables):
    model = Tiny(dtype=jnp.bfloat16)
    logits = predict_logits(model, variables, images, Scale(1 / 255).center)
    exact = predict_logits(Tiny(), variables, images, Scale(1 / 255).center)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, exact, rtol=0.1, atol=0.1)


def test_takes_images_that_live_on_the_device(images, variables):
    scale = Scale(1 / 255)
    host = predict_logits(Tiny(), variables, images, scale.center)
    device = predict_logits(Tiny(), variables, jnp.asarray(images), scale.center)
    np.testing.assert_array_equal(host, device)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": np.zeros((3, 5, 1), np.uint8)},
            "`images` must have four axes, [n, height, width, channels]; its shape is (3, 5, 1)",
        ),
        (
            {"images": np.zeros((2, 3, 5, 1), np.float32)},
            "`images` must be uint8; its dtype is float32",
        ),
        (
            {"images": np.zeros((0, 3, 5, 1), np.uint8)},
            "`images` is empty; at least one image is needed",
        ),
        ({"batch_size": 0}, "`batch_size` (=0) must be at least 1"),
        (
            {"model": Tiny(widths=[np.zeros(3)])},
            "`model` must be hashable; use tuples instead of lists and arrays in it",
        ),
    ],
)
def test_bad_input(images, variables, change, message):
    arguments = {
        "model": Tiny(),
        "variables": variables,
        "images": images,
        "transform": Scale(1.0).center,
    }
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_logits(**(arguments | change))
