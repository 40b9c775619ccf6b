"""Image files of every kind become arrays; those that cannot are named, and the others go on."""

import re
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import ImageFileError, Transform, find_images, read_images

PHOTO = np.random.default_rng(0).integers(0, 256, (11, 7, 3), dtype=np.uint8)


def read(path, channels=3, side=11, **options):
    (result,) = read_images([path], channels=channels, side=side, **options)
    return result


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_transform(tmp_path, channels):
    """Resized on the host or on the device: the same network input, to the bit."""
    photo = PHOTO.swapaxes(0, 1)
    photo = photo if channels == 3 else photo[..., 0]
    path = save(tmp_path / "photo.png", photo)
    options = {"resize": 9, "crop": 6, "mean": (0.4,) * channels, "std": (0.2,) * channels}
    device = Transform(source=(7, 11), **options).center
    host = Transform(source=(9, 9), **options).center
    expected = jax.jit(device)(photo.reshape(1, 7, 11, channels))
    image = read(path, channels, side=9)
    np.testing.assert_array_equal(jax.jit(host)(image[None]), expected)


def test_grey_and_colour(tmp_path):
    square = PHOTO[:7]
    colour = save(tmp_path / "colour.png", square)
    grey = save(tmp_path / "grey.png", square[..., 0])
    np.testing.assert_array_equal(read(colour, 3, 7), square)
    np.testing.assert_array_equal(read(grey, 1, 7)[..., 0], square[..., 0])
    np.testing.assert_array_equal(read(grey, 3, 7), np.repeat(square[..., :1], 3, axis=2))
    luma = square @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read(colour, 1, 7)[..., 0], luma, atol=1)


def test_transparency_lies_over_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0] = (200, 0, 0, 255)
    pixels[1] = (200, 0, 0, 128)
    image = read(save(tmp_path / "alpha.png", pixels), side=4)
    assert image[:, 0].tolist() == [[200, 0, 0], [227, 127, 127], [255] * 3, [255] * 3]
    grey = read(save(tmp_path / "grey.png", pixels[..., [0, 3]]), channels=1, side=4)
    assert grey[:, 0, 0].tolist() == [200, 227, 255, 255]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([9, 9, 9, 8, 8, 8])
    palette.resize((4, 4)).save(tmp_path / "palette.png", transparency=1)
    assert read(tmp_path / "palette.png", side=4)[0, [0, 3]].tolist() == [[9] * 3, [255] * 3]


def test_other_modes(tmp_path):
    deep = (np.arange(16, dtype=np.uint16) * 4096).reshape(4, 4)
    assert read(save(tmp_path / "deep.png", deep), 1, 4).ravel().tolist() == list(range(0, 256, 16))
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert read(tmp_path / "cmyk.jpg", side=4)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=3)
    Image.new("1", (4, 4), 1).save(tmp_path / "bits.png")
    assert read(tmp_path / "bits.png", 1, 4).min() == 255


def test_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    path = save(tmp_path / "turned.png", PHOTO, exif=exif)
    upright = np.asarray(Image.fromarray(np.rot90(PHOTO, -1)).resize((11, 11), 2))
    np.testing.assert_array_equal(read(path), upright)


def damaged_files(folder):
    whole = save(folder / "whole.png", PHOTO).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    (folder / "flipped.png").write_bytes(flipped)
    (folder / "short.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "vector.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("F", (3, 3)).save(folder / "float.tiff")
    (folder / "folder.png").mkdir()
    return {
        "flipped.png": "cannot be read as an image",
        "short.png": "cannot be read as an image",
        "empty.jpg": "is none of PNG, JPEG, ",
        "text.png": "is none of PNG, JPEG, ",
        "vector.png": "is none of PNG, JPEG, ",
        "float.tiff": "is none of PNG, JPEG, ",
        "folder.png": "is a folder",
        "nothing.png": "is missing",
    }


def test_damaged_files_are_named_and_the_others_go_on(tmp_path):
    damages = damaged_files(tmp_path)
    results = read_images([tmp_path / name for name in [*damages, "whole.png"]], channels=3, side=5)
    for (name, message), result in zip(damages.items(), results, strict=False):
        assert isinstance(result, ImageFileError)
        assert re.match(f"{re.escape(str(tmp_path / name))} {message}", str(result))
        assert "\n" not in str(result)
    assert results[-1].shape == (5, 5, 3)


def test_a_small_file_of_very_many_pixels(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(path)  # 25 kB
    assert "exceeds limit" in str(read(path))  # Pillow's, at twice the number it warns at
    path = save(tmp_path / "a.png", PHOTO)
    with warnings.catch_warnings(action="error"):
        assert "has 77 pixels, more than the 76 allowed" in str(read(path, max_pixels=76))
    assert read(path, max_pixels=77).shape == (11, 11, 3)


def test_pillow_does_not_warn(tmp_path):
    """Between its two limits it would, and warnings are errors here."""
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 9_000)).save(path)
    assert "more than the 89,478,485 allowed" in str(read(path))


@pytest.mark.parametrize(("name", "value"), [("channels", 2), ("side", 0)])
def test_arguments(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be"):
        read_images([], **{"channels": 3, "side": 8} | {name: value})


def test_find_images(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a.webp", "notes.txt", ".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path) for path in find_images(tmp_path).paths]
    assert found == [Path("a.webp"), Path("b/1.png"), Path("b/2.JPG")]
