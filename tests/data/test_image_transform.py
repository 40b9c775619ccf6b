"""The transform of one image: Pillow's pixels on the host, and the same ones on the device."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import ImageTransform

SHAPES = [(50, 70), (71, 50), (64, 64), (3, 200), (1, 1), (97, 33)]


def picture(height, width, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_shortest_edge_and_centre(height, width, interpolation):
    transform = ImageTransform(resize=37, crop=32, interpolation=interpolation)
    pixels = picture(height, width)
    short, long = sorted((height, width))
    edges = (37, int(37 * long / short))
    rows, columns = edges if height <= width else edges[::-1]
    whole = Image.fromarray(pixels).resize((columns, rows), Image.Resampling[interpolation.upper()])
    top, left = round((rows - 32) / 2), round((columns - 32) / 2)
    expected = np.asarray(whole)[top : top + 32, left : left + 32]
    assert np.array_equal(transform.pixels(pixels), expected)
    normalised = transform(pixels)
    assert normalised.dtype == np.float32
    mean, std = (np.float32(value) for value in (transform.mean, transform.std))
    assert np.array_equal(normalised, (expected / np.float32(255) - mean) / std)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(
    ("crop_mode", "shape"),
    [
        ("center", (50, 70)),
        ("squash", (50, 70)),
        ("center", (31, 30)),
        ("center", (300, 90)),
        ("squash", (140, 60)),
    ],
)
def test_on_the_device(crop_mode, shape, interpolation):
    transform = ImageTransform(
        resize=37,
        crop=32,
        crop_mode=crop_mode,
        interpolation=interpolation,
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,
    )
    images = np.stack([picture(*shape, seed=seed) for seed in range(2)])
    on_device = np.asarray(transform.on_device(*shape).center(images))
    expected = np.stack([transform.pixels(image) for image in images])
    assert np.array_equal(on_device.round().astype(np.uint8), expected)
    np.testing.assert_allclose(
        on_device, np.stack([transform(image) for image in images]), rtol=1e-6, atol=1e-4
    )


def test_borders_are_of_the_mean_colour():
    transform = ImageTransform(resize=32, crop=32, crop_mode="border")
    pixels = transform.pixels(np.full((20, 41, 3), 255, np.uint8))
    rows = np.flatnonzero((pixels == 255).all((1, 2)))
    assert rows.tolist() == list(range(8, 24))
    assert pixels[0, 0].tolist() == [124, 116, 104]
    with pytest.raises(ValueError, match=r"`crop_mode` \(='border'\)"):
        transform.on_device(20, 41)


@pytest.mark.parametrize("short", [31, 30, 29])
def test_borders_of_half_a_pixel_go_below_and_to_the_right(short):
    transform = ImageTransform(resize=32, crop=32, crop_mode="border")
    pixels = transform.pixels(np.full((32, short, 3), 255, np.uint8))
    assert pixels.shape == (32, 32, 3)
    columns = np.flatnonzero((pixels == 255).all((0, 2)))
    left = (32 - short) // 2
    assert columns.tolist() == list(range(left, left + short))


@pytest.mark.parametrize("mode", ["L", "CMYK", "1", "P", "YCbCr", "LA"])
def test_any_mode_of_pillow(mode):
    image = Image.fromarray(picture(40, 60)).convert(mode)
    transform = ImageTransform(resize=37, crop=32)
    assert np.array_equal(transform.pixels(image), transform.pixels(image.convert("RGB")))


def test_grey():
    transform = ImageTransform(resize=37, crop=32, mean=(0.5,), std=(0.5,))
    assert transform(picture(40, 60, 1)).shape == (32, 32, 1)
    assert transform(picture(40, 60, 3)).shape == (32, 32, 1)


def test_an_entry_of_timm():
    config = {
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "test_crop_pct": 1.0,
        "crop_mode": None,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    transform = ImageTransform.from_timm(config)
    assert transform == ImageTransform(
        resize=235, crop=224, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    larger = ImageTransform.from_timm(config, test_size=True)
    assert (larger.resize, larger.crop) == (288, 288)
    assert ImageTransform.from_timm({}) == ImageTransform(interpolation="bicubic")
    with pytest.raises(ValueError, match="must be square"):
        ImageTransform.from_timm({"input_size": (3, 224, 192)})


@pytest.mark.parametrize(
    "options",
    [
        {"crop_mode": "middle"},
        {"interpolation": "nearest"},
        {"resize": 200},
        {"mean": (0.5, 0.5), "std": (1.0, 1.0)},
        {"std": (0.0, 1.0, 1.0)},
    ],
)
def test_mistakes(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`|`crop`"):
        ImageTransform(**options)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), picture(4, 4, 4)]
)
def test_other_arrays(image):
    with pytest.raises(ValueError, match="expected a Pillow image or uint8"):
        ImageTransform()(image)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("resize", "crop"), [(37, 32), (36, 32), (34, 31), (32, 32)])
def test_the_middle_of_the_square_is_the_crop(crop_mode, resize, crop):
    transform = ImageTransform(resize=resize, crop=crop, crop_mode=crop_mode)
    top = round((resize - crop) / 2)
    # All remainders of the odd edges by four, of which halves round up or down.
    for shape in [(20, width) for width in range(20, 33)] + [(50, 20), (3, 200)]:
        square = transform.square(picture(*shape))
        assert square.shape == (resize, resize, 3)
        middle = square[top : top + crop, top : top + crop]
        assert np.array_equal(middle, transform.pixels(picture(*shape))), shape


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_no_image(kind):
    with pytest.raises(
        ValueError, match=r"`image` \(='a.jpg'\) is a path; open it by PIL.Image.open"
    ):
        ImageTransform(resize=8, crop=8)(kind("a.jpg"))


def test_an_array_on_a_device():
    transform, pixels = ImageTransform(resize=37, crop=32), picture(50, 70)
    assert np.array_equal(transform(jnp.asarray(pixels)), transform(pixels))


@pytest.mark.parametrize("image", [[picture(4, 4)], [Image.new("L", (4, 4))], None])
def test_what_is_no_image(image):
    kind = type(image).__name__
    with pytest.raises(
        ValueError, match=rf"^`image` is of type {kind}; expected a Pillow image or .*\]$"
    ):
        ImageTransform(resize=8, crop=8)(image)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    "image",
    [picture(0, 4), picture(4, 0, 1), Image.new("RGB", (4, 0)), Image.new("I;16", (0, 4))],
)
def test_an_empty_image(image, crop_mode):
    transform = ImageTransform(resize=8, crop=8, crop_mode=crop_mode)
    with pytest.raises(ValueError, match=r"^`image` has no pixels: it is \d pixels high and"):
        transform(image)
