"""RandAugment and TrivialAugment, operation by operation, against Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from resnet_jax.data.augment import RandAugment, TrivialAugment
from resnet_jax.data.augment.drawn import GREATEST_MAGNITUDE, Operation, apply_operation
from resnet_jax.data.augment.rand_augment import RAND_OPERATIONS
from resnet_jax.data.augment.trivial_augment import TRIVIAL_OPERATIONS


def enhanced(kind, greatest):
    return lambda image, m, sign: kind(image).enhance(1 + sign * greatest * m)


def mapped(data):
    def apply(image, m, sign):
        return image.transform(
            image.size, Image.Transform.AFFINE, data(m * sign, image), Image.Resampling.NEAREST
        )

    return apply


def by_pillow(*, shear, translate, rotate, enhance, posterize):
    """The definition of both in torchvision, written with Pillow; `m` is from 0 to 1."""
    return {
        "identity": lambda image, m, sign: image,
        "shear_x": mapped(lambda m, image: (1, shear * m, 0, 0, 1, 0)),
        "shear_y": mapped(lambda m, image: (1, 0, 0, shear * m, 1, 0)),
        "translate_x": mapped(lambda m, image: (1, 0, int(translate(image.width) * m), 0, 1, 0)),
        "translate_y": mapped(lambda m, image: (1, 0, 0, 0, 1, int(translate(image.height) * m))),
        "rotate": lambda image, m, sign: image.rotate(sign * rotate * m),
        "brightness": enhanced(ImageEnhance.Brightness, enhance),
        "color": enhanced(ImageEnhance.Color, enhance),
        "contrast": enhanced(ImageEnhance.Contrast, enhance),
        "sharpness": enhanced(ImageEnhance.Sharpness, enhance),
        "posterize": lambda image, m, sign: ImageOps.posterize(image, 8 - round(posterize * m)),
        "solarize": lambda image, m, sign: ImageOps.solarize(image, 8.5 * round(30 * (1 - m))),
        "autocontrast": lambda image, m, sign: ImageOps.autocontrast(image),
        "equalize": lambda image, m, sign: ImageOps.equalize(image),
    }


SPACES = {
    "rand": (
        RAND_OPERATIONS,
        by_pillow(
            shear=0.3, translate=lambda side: 150 / 331 * side, rotate=30, enhance=0.9, posterize=4
        ),
    ),
    "trivial": (
        TRIVIAL_OPERATIONS,
        by_pillow(shear=0.99, translate=lambda side: 32, rotate=135, enhance=0.99, posterize=6),
    ),
}
ROUNDED = {"brightness", "color", "contrast", "sharpness", "autocontrast"}


@pytest.mark.parametrize("space", SPACES)
def test_every_operation_at_every_magnitude(space, photos):
    ours, theirs = SPACES[space]
    assert list(ours) == list(theirs)
    images = photos[:6, :, :14]
    operations = tuple(ours.values())
    function = jax.jit(
        jax.vmap(
            lambda choice, image, strength, sign: apply_operation(
                choice, image, strength, sign, operations
            ),
            (None, 0, None, None),
        )
    )
    for index, (name, reference) in enumerate(theirs.items()):
        for bin_ in range(GREATEST_MAGNITUDE + 1):
            sign = (-1) ** bin_
            result = function(index, images, jnp.float32(bin_ / 30), jnp.float32(sign))
            expected = [
                np.asarray(reference(Image.fromarray(image), bin_ / 30, sign)) for image in images
            ]
            different = np.abs(np.asarray(result, np.int32) - np.stack(expected))
            assert different.max() <= (name in ROUNDED), (name, bin_)
            assert (different > 0).mean() < 0.02, (name, bin_)


@pytest.mark.parametrize(
    "augmentation", [RandAugment(1, 30), TrivialAugment()], ids=["rand", "trivial"]
)
def test_every_operation_is_drawn_equally_often(augmentation):
    """Each operation paints the image in a colour of its own, stronger by the magnitude."""
    count = 31 * 14 * 8
    painters = tuple(
        Operation(
            levels=lambda image, m, sign, level=level: jnp.stack(
                [
                    jnp.full_like(image[..., 0], level),
                    jnp.round(30 * m).astype(jnp.uint8) + jnp.zeros_like(image[..., 0]),
                    jnp.where(sign > 0, jnp.uint8(1), jnp.uint8(0)) + jnp.zeros_like(image[..., 0]),
                ],
                axis=-1,
            )
        )
        for level in range(14)
    )
    augmentation = type(augmentation)(**{**vars(augmentation), "operations": painters})
    keys = jax.random.split(jax.random.key(5), count)
    painted, _ = augmentation(keys, np.zeros((count, 1, 1, 3), np.uint8), np.zeros(count))
    choices, magnitudes, signs = np.asarray(painted).reshape(count, 3).T
    counts = np.bincount(choices, minlength=14)
    assert np.abs(counts - 248).max() < 5 * 248**0.5
    assert signs.mean() == pytest.approx(0.5, abs=0.04)
    if isinstance(augmentation, RandAugment):
        assert set(magnitudes) == {30}
    else:
        counts = np.bincount(magnitudes, minlength=31)
        assert len(counts) == 31
        assert np.abs(counts - 112).max() < 5 * 112**0.5


def test_operations_are_done_one_after_the_other(photos, keys):
    brighten = (Operation(levels=lambda image, strength, sign: image + 1),)
    dark = photos // 2
    augmented, _ = RandAugment(3, operations=brighten)(keys, dark, keys)
    np.testing.assert_array_equal(augmented, dark + 3)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_ops` \(=0\) must be at least 1"):
        RandAugment(0)
    with pytest.raises(ValueError, match=r"`magnitude` \(=31\) must be in \[0, 30\]"):
        RandAugment(2, 31)
