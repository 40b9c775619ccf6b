"""Products of matrices resize to the same pixels as sums of rows, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from resnet_jax.data import Transform
from resnet_jax.data.products import fits_products, resize_and_crop

CASES = [
    ((32, 32), 120, 110, "bilinear"),
    ((32, 32), 32, 28, "bilinear"),
    ((40, 30), (40, 64), 35, "bicubic"),
    ((200, 130), (33, 30), 24, "lanczos"),
    ((64, 48), (9, 20), 9, "bicubic"),
]


def images(source):
    """Patches of a photograph, and images of black and white pixels, which overshoot most."""
    rng = np.random.default_rng(0)
    photo = load_sample_images().images[0]
    height, width = source
    noise = rng.choice(np.array([0, 255], np.uint8), (2, height, width, 3))
    return np.stack([photo[:height, :width], photo[-height:, -width:], *noise])


@pytest.mark.parametrize(("source", "resize", "crop", "interpolation"), CASES)
def test_the_pixels_are_the_transforms(source, resize, crop, interpolation):
    plain = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
    transform = Transform(
        source=source, resize=resize, crop=crop, interpolation=interpolation, **plain
    )
    batch = images(source)
    last = np.array(transform.resized) - crop
    offsets = np.stack([0 * last, last, last // 2, last // 3]).astype(np.int32)
    products = jax.jit(
        jax.vmap(
            lambda image, offset: resize_and_crop(
                image, offset, transform.resized, crop, interpolation
            )
        )
    )
    np.testing.assert_array_equal(
        products(batch, offsets), np.rint(jax.jit(transform.at)(batch, offsets))
    )


def lowered(transform, platform):
    """Return the program of a batch of random crops."""
    shape = jax.ShapeDtypeStruct((4, *transform.source, len(transform.mean)), jnp.uint8)
    key = jax.eval_shape(jax.random.key, 0)
    return (
        jax.jit(transform.random).trace(shape, key).lower(lowering_platforms=(platform,)).as_text()
    )


def test_only_a_tpu_takes_products():
    transform = Transform(source=(8, 8), resize=12, crop=10, mean=(0.5,), std=(0.25,))
    programs = {platform: lowered(transform, platform) for platform in ("tpu", "cpu", "cuda")}
    assert {name: "dot_general" in text for name, text in programs.items()} == {
        "tpu": True,
        "cpu": False,
        "cuda": False,
    }


def test_sums_that_float32_cannot_hold_are_not_taken():
    assert not fits_products(2000, 2, "bilinear")
    transform = Transform(source=(2000, 2), resize=2, crop=2, mean=(0.5,), std=(0.25,))
    assert "dot_general" not in lowered(transform, "tpu")
