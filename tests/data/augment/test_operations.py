"""The operations equal Pillow's on real images, grey and in colour."""

import colorsys

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from resnet_jax.data.augment import (
    ColorJitter,
    Flip,
    PadCrop,
    RandAugment,
    TrivialAugment,
    affine,
    operations,
)


def enhance(kind):
    return lambda image, factor: kind(image).enhance(factor)


def transform(data):
    def apply(image, value):
        matrix = [entry(value) if callable(entry) else entry for entry in data]
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)

    return apply


def itself(value):
    return value


ENHANCEMENTS = (0.0, 0.1, 0.73, 1.0, 1.27, 1.9)
PILLOW = {
    "brightness": (enhance(ImageEnhance.Brightness), ENHANCEMENTS),
    "contrast": (enhance(ImageEnhance.Contrast), ENHANCEMENTS),
    "color": (enhance(ImageEnhance.Color), ENHANCEMENTS),
    "sharpness": (enhance(ImageEnhance.Sharpness), ENHANCEMENTS),
    "posterize": (ImageOps.posterize, (1, 4, 6, 8)),
    "solarize": (ImageOps.solarize, (0, 77, 128, 255)),
}
MAPS = {
    "rotate": (lambda image, degrees: image.rotate(degrees), (-135.0, -30.0, 3.7, 17.0, 90.0)),
    "shear_x": (transform((1, itself, 0, 0, 1, 0)), (-0.99, -0.3, 0.11, 0.2)),
    "shear_y": (transform((1, 0, 0, itself, 1, 0)), (-0.99, -0.3, 0.11, 0.2)),
    "translate_x": (transform((1, 0, itself, 0, 1, 0)), (-3, 0, 5)),
    "translate_y": (transform((1, 0, 0, 0, 1, itself)), (-3, 0, 5)),
}
WITHOUT_VALUE = {
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
}
EXACT = {"posterize", "solarize", "equalize", "invert"}


def by_pillow(function, images, *values):
    return np.stack(
        [
            np.asarray(function(Image.fromarray(image.squeeze()), *values)).reshape(image.shape)
            for image in images
        ]
    )


def assert_equal(name, ours, theirs):
    different = np.abs(np.asarray(ours, np.int32) - theirs)
    if name in EXACT:
        assert different.max() == 0
    else:
        assert different.max() <= 1
        assert (different > 0).mean() < 0.02


@pytest.mark.parametrize("channels", ["grey", "photos"])
@pytest.mark.parametrize("name", PILLOW)
def test_with_a_value(name, channels, request):
    images = request.getfixturevalue(channels)
    function, values = PILLOW[name]
    ours = jax.jit(jax.vmap(getattr(operations, name), (0, None)))
    for value in values:
        assert_equal(name, ours(images, value), by_pillow(function, images, value))


@pytest.mark.parametrize("name", MAPS)
def test_a_map(name, photos):
    """Every pixel comes from where Pillow takes it, also from the border between two pixels."""
    function, values = MAPS[name]
    images = photos[:, :, :13]
    further = (images.shape[1:3],) if name == "rotate" else ()
    ours = jax.jit(
        jax.vmap(
            lambda image, value: affine.affine(image, getattr(affine, name)(value, *further)),
            (0, None),
        )
    )
    for value in values:
        np.testing.assert_array_equal(ours(images, value), by_pillow(function, images, value))


def shifted_hue(pixel, shift):
    """One pixel, by the standard library."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
    return np.asarray(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)) * 255.999


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.02, 0.31, 0.5])
def test_hue(shift, photos):
    images = photos[:4]
    ours = np.asarray(jax.jit(jax.vmap(operations.hue, (0, None)))(images, np.float32(shift)))
    expected = np.apply_along_axis(shifted_hue, -1, images, shift)
    # Rounded down; a whole number may be missed by rounding errors.
    assert np.abs(expected - ours - 0.5).max() < 0.51
    if shift == 0:
        np.testing.assert_array_equal(ours, images)


def test_grey_has_no_hue(grey):
    np.testing.assert_array_equal(operations.hue(grey[0], 0.3), grey[0])
    np.testing.assert_array_equal(operations.hue(grey[0].repeat(3, -1), 0.3), grey[0].repeat(3, -1))


@pytest.mark.parametrize("channels", ["grey", "photos"])
@pytest.mark.parametrize("name", WITHOUT_VALUE)
def test_without_a_value(name, channels, request):
    images = request.getfixturevalue(channels)
    ours = jax.jit(jax.vmap(getattr(operations, name)))
    assert_equal(name, ours(images), by_pillow(WITHOUT_VALUE[name], images))


@pytest.mark.parametrize("name", WITHOUT_VALUE)
def test_one_level_everywhere(name):
    images = np.full((1, 8, 8, 3), 77, np.uint8)
    expected = by_pillow(WITHOUT_VALUE[name], images)
    np.testing.assert_array_equal(getattr(operations, name)(images[0]), expected[0])


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("name", ["contrast", "color", "hue"])
def test_colours_of_other_channels_are_refused(name, channels):
    image = np.zeros((4, 4, channels), np.uint8)
    message = rf"^`image` has {channels} channels; .* need 1 \(grey\) or 3 \(RGB\)$"
    with pytest.raises(ValueError, match=message):
        getattr(operations, name)(image, 0.5)


@pytest.mark.parametrize("kind", [ColorJitter, RandAugment, TrivialAugment])
def test_augmentations_of_colour_refuse_other_channels(kind):
    images = np.zeros((2, 4, 4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"^`image` has 4 channels; "):
        kind()(jax.random.split(jax.random.key(0), 2), images, np.arange(2))


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("augmentation", [ColorJitter(0.4, 0, 0, 0), Flip(1.0), PadCrop(1)])
def test_other_augmentations_take_any_channels(augmentation, channels):
    images = np.random.default_rng(0).integers(1, 256, (2, 4, 4, channels), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(0), 2)
    changed, _ = augmentation(keys, images, np.arange(2))
    # Each channel is changed as it is alone.
    alone = [augmentation(keys, images[..., [i]], np.arange(2))[0] for i in range(channels)]
    np.testing.assert_array_equal(changed, np.concatenate(alone, axis=-1))
    assert (changed != images).any()
