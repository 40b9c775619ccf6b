"""Image files of every kind become arrays; those that cannot are named, and the others go on."""

import re
import struct
import warnings
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import (
    MAX_PIXELS,
    ImageFileError,
    ImageTransform,
    Transform,
    read_images,
)
from resnet_jax.data.image_files import check_headers

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


ODD_TAGS = {
    "a text as a resolution": (0x011A, 2, 4, b"72\0\0"),
    "bytes as a width": (0x0100, 7, 4, b"abcd"),
    "a fraction as a copyright": (0x8298, 11, 1, b"\0\0\0\0"),
}


def exif_block(orientation, tag, kind, count, value):
    """An EXIF block of two entries, the one after the other by their tags."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<I", orientation)), (tag, kind, count, value)])
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0\2\0" + packed + b"\0\0\0\0"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("tag", ODD_TAGS)
def test_of_exif_the_orientation_alone_matters(tmp_path, suffix, tag):
    """Other tags may have types that no program can write again."""
    photo = Image.fromarray(PHOTO)
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(tmp_path / f"turned.{suffix}", exif=turned)
    photo.save(tmp_path / f"odd.{suffix}", exif=exif_block(6, *ODD_TAGS[tag]))
    expected = read(tmp_path / f"turned.{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"odd.{suffix}"), expected)


def test_exif_that_cannot_be_read(tmp_path):
    photo = Image.fromarray(PHOTO)
    photo.save(tmp_path / "a.jpg")
    photo.save(tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\xff\xff\0\0broken")
    np.testing.assert_array_equal(read(tmp_path / "b.jpg"), read(tmp_path / "a.jpg"))


def png_with_text(path, after, chunks):
    """A PNG file with compressed texts, `chunks` of 1.5 million characters."""
    whole = save(path, PHOTO).read_bytes()
    data = b"Comment\0\0" + zlib.compress(b"x" * 1_500_000)
    chunk = struct.pack(">I4s", len(data), b"zTXt") + data
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    position = whole.index(after) - 4
    path.write_bytes(whole[:position] + chunks * chunk + whole[position:])
    return path


@pytest.mark.parametrize("after", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("chunks", [1, 50])
def test_png_files_with_much_text(tmp_path, after, chunks):
    """More than Pillow reads, of one text or of all together."""
    expected = read(save(tmp_path / "plain.png", PHOTO))
    path = png_with_text(tmp_path / "text.png", after, chunks)
    np.testing.assert_array_equal(read(path), expected)
    assert check_headers([path]) == []


def test_a_damaged_png_file_with_much_text_is_named(tmp_path):
    path = png_with_text(tmp_path / "text.png", b"IEND", 1)
    path.write_bytes(path.read_bytes()[:60])
    assert "cannot be read as an image" in str(read(path))


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
        "float.tiff": "cannot be read as an image: its samples are no unsigned integers",
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
    assert "has 200,000,000 pixels, more than the 89,478,485 allowed" in str(read(path))
    path = save(tmp_path / "a.png", PHOTO)
    with warnings.catch_warnings(action="error"):
        assert "has 77 pixels, more than the 76 allowed" in str(read(path, max_pixels=76))
    assert read(path, max_pixels=77).shape == (11, 11, 3)


def test_more_pixels_where_they_are_allowed(tmp_path, monkeypatch):
    """Pillow's own limit does not get in the way, and is what it was before afterwards."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    path = save(tmp_path / "a.png", PHOTO)
    assert read(path, max_pixels=77).shape == (11, 11, 3)
    assert Image.MAX_IMAGE_PIXELS == 20
    assert MAX_PIXELS == 89_478_485


def test_pillow_does_not_warn(tmp_path):
    """Between its two limits it would, and warnings are errors here."""
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 9_000)).save(path)
    assert "more than the 89,478,485 allowed" in str(read(path))


def test_headers_are_checked_without_the_pixels(tmp_path):
    damages = damaged_files(tmp_path)
    paths = [tmp_path / name for name in [*damages, "whole.png"]]
    done = []
    errors = check_headers(paths, advance=done.append)
    named = {re.search(r"/(\w+\.\w+) ", str(error)).group(1) for error in errors}
    # Damage further on shows when the pixels are read.
    assert named == damages.keys() - {"flipped.png", "short.png"}
    assert sum(done) == len(paths)
    assert len(check_headers([tmp_path / "whole.png"], max_pixels=76)) == 1


@pytest.mark.parametrize(("name", "value"), [("channels", 2), ("side", 0), ("max_pixels", 0)])
def test_arguments(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be"):
        read_images([], **{"channels": 3, "side": 8} | {name: value})


def test_another_resize(tmp_path):
    path = save(tmp_path / "photo.png", PHOTO)
    transform = ImageTransform(resize=8, crop=6, interpolation="bicubic")
    np.testing.assert_array_equal(
        read(path, side=6, resize=transform.pixels), transform.pixels(PHOTO)
    )
