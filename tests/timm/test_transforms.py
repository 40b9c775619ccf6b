"""The evaluation transform equals timm's and torchvision's, to the last bit of its results."""

import functools

import numpy as np
import pytest
import timm
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.models import resnet as torchvision_resnet

from resnet_jax.data import ImageTransform

MODELS = timm.list_models(module="resnet")


def configurations():
    """Each different way in which the weights of timm's `resnet.py` want their images."""
    found = {}
    for name in timm.list_pretrained():
        if name.split(".")[0] in MODELS:
            entry = timm.get_pretrained_cfg(name).to_dict()
            for test_size in (False, True):
                options = resolve_data_config(pretrained_cfg=entry, use_test_size=test_size)
                found.setdefault(str(options), (name, entry, test_size, options))
    return list(found.values())


CONFIGURATIONS = configurations()
PRESETS = {
    (preset.crop_size[0], preset.resize_size[0], str(preset.interpolation)): preset
    for kind in vars(torchvision_resnet).values()
    if isinstance(kind, type) and issubclass(kind, torchvision.models.WeightsEnum)
    for weights in kind
    for preset in [weights.transforms()]
}


def noise(height, width, channels=3, dtype=np.uint8):
    generator = np.random.default_rng([height, width])
    # Smooth areas and edges, for clipping and rounding.
    coarse = generator.integers(0, 256, (height // 5 + 1, width // 5 + 1, channels))
    image = coarse.repeat(5, 0).repeat(5, 1)[:height, :width]
    image = (image + generator.integers(-20, 21, image.shape)).clip(0, 255)
    return image.astype(dtype)


@functools.cache
def pictures():
    """Images of any shape and mode, as a data set may hold them."""
    sizes = ((480, 641), (333, 200), (1201, 97), (60, 999), (224, 224), (231, 232), (1, 1))
    sizes += ((1, 23), (23, 1), (5, 7), (100, 101), (256, 340))
    images = {f"{rows}x{columns}": Image.fromarray(noise(rows, columns)) for rows, columns in sizes}
    photo = Image.fromarray(noise(211, 307))
    for mode in ("1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA", "HSV"):
        images[mode] = photo.convert(mode)
    images["PA"] = images["P"].convert("PA")
    images["I;16"] = Image.fromarray(noise(90, 131)[..., 0].astype(np.uint16) * 257)
    return images


def check(ours, theirs):
    """Compare pixels and results; the other transform ends in a conversion and a normalisation."""
    for name, picture in pictures().items():
        image = picture.convert("RGB")
        expected = theirs(image).permute(1, 2, 0).numpy()
        assert np.array_equal(ours(picture), expected), name
        assert np.array_equal(ours(np.asarray(image)), expected), name
        pixels = ours(picture) * np.float32(ours.std) + np.float32(ours.mean)
        assert np.array_equal((pixels * 255).round(), ours.pixels(picture)), name


@pytest.mark.parametrize(
    ("entry", "test_size", "options"),
    [row[1:] for row in CONFIGURATIONS],
    ids=[f"{name}-{'test' if test else 'train'}_size" for name, _, test, _ in CONFIGURATIONS],
)
def test_an_entry_of_timm(entry, test_size, options):
    check(
        ImageTransform.from_timm(entry, test_size=test_size),
        create_transform(**options, is_training=False),
    )


def test_all_are_compared():
    assert len(CONFIGURATIONS) >= 27
    assert {preset[:2] for preset in PRESETS} == {(224, 256), (224, 232)}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.8, 0.95, 1.0])
def test_other_ways_to_crop(interpolation, crop_mode, crop_pct):
    options = {"interpolation": interpolation, "crop_mode": crop_mode, "crop_pct": crop_pct}
    options |= {"input_size": (3, 97, 97), "mean": (0.1, 0.5, 0.7), "std": (0.3, 0.2, 0.1)}
    ours = ImageTransform.from_timm(options)
    theirs = create_transform(**options, is_training=False)
    for name, picture in pictures().items():
        try:
            expected = theirs(picture.convert("RGB")).permute(1, 2, 0).numpy()
        except ValueError:  # it rounds the shorter edge to 0
            assert crop_mode == "border"
            assert min(picture.size) * 100 < max(picture.size) * 2
        else:
            assert np.array_equal(ours(picture), expected), name


@pytest.mark.parametrize("key", PRESETS)
def test_a_preset_of_torchvision(key):
    crop, resize, interpolation = key
    assert interpolation == "InterpolationMode.BILINEAR"
    check(ImageTransform(resize=resize, crop=crop), PRESETS[key])


@pytest.mark.parametrize(("height", "width"), [(333, 250), (250, 333), (900, 300), (60, 200)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_on_the_device(height, width, interpolation):
    options = {"crop_pct": 0.95, "interpolation": interpolation, "mean": (0,) * 3, "std": (1,) * 3}
    theirs = create_transform(224, **options, is_training=False)
    ours = ImageTransform.from_timm(options).on_device(height, width)
    image = noise(height, width)
    expected = theirs(Image.fromarray(image)).permute(1, 2, 0).numpy()
    result = np.asarray(ours.center(image[None])[0])
    assert np.array_equal((result * 255).round(), (expected * 255).round())
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)
