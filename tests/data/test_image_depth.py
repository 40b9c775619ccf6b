"""Images with more than 8 bits a sample: the full scale is what the file says, never a guess."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import ImageFileError, ImageTransform, read_images
from resnet_jax.data.image_files import check_headers

# One row of 16 levels; white is the largest.
LEVELS = np.arange(16) * 17


def read(path, channels=1):
    (result,) = read_images([path], channels=channels, side=4)
    return str(result) if isinstance(result, ImageFileError) else result[..., 0].ravel()


def samples(white):
    """The levels in a scale of integers, as 4 by 4 pixels."""
    return np.round(LEVELS / 255 * white).astype(np.uint16).reshape(4, 4)


def write_pgm(path, values, white):
    path.write_bytes(b"P5 4 4 %d\n" % white + values.astype(">u2").tobytes())
    return path


def write_png(path, values, *chunks):
    """A PNG file with 16 bits a sample, grey or RGB, and some chunks more."""
    colour = 2 if values.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + packed)
    return path


def write_tiff(path, data, bits, photometric=1):
    """An uncompressed TIFF file with one channel."""
    tags = [(256, 3, 4), (257, 3, 4), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 3, 4), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    return path


def packed_12_bits(values):
    bits = "".join(f"{value:012b}" for value in values.ravel())
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


@pytest.mark.parametrize("white", [256, 1023, 4095, 10_000, 65_535])
def test_pgm_states_its_largest_value(tmp_path, white):
    path = write_pgm(tmp_path / "a.pgm", samples(white), white)
    np.testing.assert_allclose(read(path), LEVELS, atol=1)
    assert check_headers([path]) == []
    text = tmp_path / "text.pgm"
    numbers = " ".join(map(str, samples(white).ravel()))
    text.write_text(f"P2 4 4 {white}\n{numbers}\n")
    np.testing.assert_array_equal(read(text), read(path))


def test_a_dark_pgm_that_states_its_scale_is_read(tmp_path):
    path = write_pgm(tmp_path / "a.pgm", np.full((4, 4), 100), 4095)
    assert set(read(path).tolist()) == {6}


def test_tiff_states_12_bits(tmp_path):
    path = write_tiff(tmp_path / "a.tif", packed_12_bits(samples(4095)), 12)
    np.testing.assert_array_equal(read(path), LEVELS)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_with_white_as_zero(tmp_path, bits):
    white = 2**bits - 1
    values = (white - samples(white)).astype(np.uint8 if bits == 8 else "<u2")
    path = write_tiff(tmp_path / "a.tif", values.tobytes(), bits, photometric=0)
    np.testing.assert_array_equal(read(path), LEVELS)


def test_16_bits_at_full_scale(tmp_path):
    tiff = write_tiff(tmp_path / "a.tif", samples(65_535).astype("<u2").tobytes(), 16)
    grey = write_png(tmp_path / "grey.png", samples(65_535))
    colour = write_png(tmp_path / "colour.png", np.repeat(samples(65_535)[..., None], 3, axis=2))
    for path in (tiff, grey, colour):
        np.testing.assert_array_equal(read(path), LEVELS)
    Image.fromarray(samples(65_535)).save(tmp_path / "a.jp2", irreversible=False)
    np.testing.assert_array_equal(read(tmp_path / "a.jp2"), LEVELS)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["png", "colour", "tif", "pgm"])
def test_fewer_bits_in_16_are_refused(tmp_path, kind, bits):
    """They would be read as almost black; which scale was meant is not guessed."""
    values = samples(2**bits - 1)
    if kind == "pgm":
        path = write_pgm(tmp_path / "a.pgm", values, 65_535)
    elif kind == "tif":
        path = write_tiff(tmp_path / "a.tif", values.astype("<u2").tobytes(), 16)
    elif kind == "png":
        path = write_png(tmp_path / "a.png", values)
    else:
        path = write_png(tmp_path / "a.png", np.repeat(values[..., None], 3, axis=2))
    lowest = 14 if kind == "colour" else bits
    assert f"it stores 16 bits a sample and uses the lowest {lowest} alone" in read(path)


def test_significant_bits_change_nothing(tmp_path):
    """By the PNG specification the samples have been scaled to 16 bits, whatever `sBIT` says."""
    scaled = (samples(4095) << 4) | (samples(4095) >> 8)
    path = write_png(tmp_path / "a.png", scaled, (b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(read(path), LEVELS)
    path = write_png(tmp_path / "b.png", samples(4095), (b"sBIT", b"\x0c"))
    assert "uses the lowest 12 alone" in read(path)


def test_a_transparent_level_of_16_bits_lies_over_white(tmp_path):
    values = samples(65_535)
    path = write_png(tmp_path / "a.png", values, (b"tRNS", struct.pack(">H", int(values[0, 1]))))
    assert read(path)[:3].tolist() == [0, 255, 34]


def test_a_transparent_colour_of_16_bits_is_refused(tmp_path):
    """Pillow compares 8 bits of it, so that other colours would be transparent, too."""
    colours = np.repeat(samples(65_535)[..., None], 3, axis=2)
    path = write_png(tmp_path / "a.png", colours, (b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert "it has a transparent colour of 16 bits a sample; save it with 8" in read(path, 3)


def test_wholly_black_images_are_read(tmp_path):
    path = write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint16))
    assert not read(path).any()


def test_32_bits_are_refused_by_their_header(tmp_path):
    for mode in ("I", "F"):
        Image.new(mode, (4, 4)).save(tmp_path / f"{mode}.tif")
    errors = check_headers([tmp_path / "I.tif", tmp_path / "F.tif"])
    assert len(errors) == 2
    assert all("no unsigned integers of 8 to 16 bits; scale them to 8" in str(e) for e in errors)


def transformed(image):
    return ImageTransform(resize=4, crop=4, mean=(0.5,), std=(0.5,)).pixels(image)[..., 0].ravel()


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("kind", ["png", "tif", "inverted.tif", "12.tif", "pgm", "jp2"])
def test_the_transform_takes_deep_images_as_the_folder_loader_does(tmp_path, kind, loaded):
    path = tmp_path / f"a.{kind}"
    deep = samples(65_535)
    if kind == "png":
        write_png(path, deep)
    elif kind == "tif":
        write_tiff(path, deep.astype("<u2").tobytes(), 16)
    elif kind == "inverted.tif":
        write_tiff(path, (65_535 - deep).astype("<u2").tobytes(), 16, photometric=0)
    elif kind == "12.tif":
        write_tiff(path, packed_12_bits(samples(4095)), 12)
    elif kind == "pgm":
        write_pgm(path, samples(1023), 1023)
    else:
        Image.fromarray(deep).save(path, irreversible=False)
    with Image.open(path) as image:
        if loaded:
            image.load()
        first, again = transformed(image), transformed(image)
    np.testing.assert_array_equal(first, read(path))
    np.testing.assert_array_equal(again, first)
    np.testing.assert_allclose(first, LEVELS, atol=1)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_the_transform_takes_deep_images_in_memory(mode):
    image = Image.new(mode, (4, 4), 100 * 257)
    assert set(transformed(image).tolist()) == {100}
    assert set(ImageTransform(resize=4, crop=4).pixels(image).ravel().tolist()) == {100}


def test_the_transform_refuses_images_of_unknown_scale():
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=rf"^`image` of mode {mode}: its .*; scale them to 8$"):
            transformed(Image.new(mode, (4, 4), 30_000))
    dark = Image.fromarray(samples(4095))
    with pytest.raises(ValueError, match=r"^`image` of mode I;16: .* uses the lowest 12 alone"):
        transformed(dark)
    assert not transformed(Image.new("I;16", (4, 4))).any()
