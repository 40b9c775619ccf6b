"""Pixels of 8 bits from images of any depth, by what the file says of its scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

# Of 65,535: a photograph without one pixel above a quarter of white is next to never meant.
_QUARTER = 1 << 14
_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
_BITS_PER_SAMPLE = 258


class Depth(NamedTuple):
    """How the samples of a file are stored.

    Attributes:
        bits: bits of the full scale, 8, 12 or 16, as the pixels are once they are loaded.
        stated: whether the file itself says the full scale; a container of 16 bits does not.
        inverted: whether 0 is white.
    """

    bits: int
    stated: bool
    inverted: bool = False


def depth_of(image: Image.Image) -> Depth:
    """Return how the samples of an image are stored.

    - PNM states its largest value, which Pillow scales to the full range and forgets as it loads
      the pixels;
    - JPEG 2000 states its bits, which Pillow scales, too;
    - TIFF with 12 bits a sample states them;
    - PNG and TIFF with 16 bits have the full scale 65,535. An `sBIT` chunk changes nothing: by the
      PNG specification the samples of fewer bits have been scaled to all 16 before;
    - grey images of 16 bits that come from no file have this scale, too.

    Args:
        image: the image. Of one whose pixels are loaded the depth of grey is known, not that of
            colours, of which Pillow keeps 8 bits.

    Raises:
        ValueError: if its samples are no integers of up to 16 bits.
    """
    # 32 bits in Pillow's memory are 16 in the file for these two formats.
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PPM", "PNG")):
        raise ValueError("its samples are no unsigned integers of 8 to 16 bits; scale them to 8")
    if image.format == "JPEG2000":
        return Depth(16 if image.mode.startswith("I") else 8, stated=True)
    codec, arguments = _coding(image)
    if codec in ("ppm", "ppm_plain"):
        # All that needs scaling comes here; 65,535 may be the container's and not the image's.
        largest = arguments[-1]
        return Depth(16 if image.mode == "I" else 8, stated=largest != 65_535)
    raw_mode = next((argument for argument in arguments if isinstance(argument, str)), "")
    is_grey = image.mode.startswith("I")
    tags = getattr(image, "tag_v2", {}) if is_grey and image.format == "TIFF" else {}
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    if tags.get(_BITS_PER_SAMPLE) == (12,):
        return Depth(12, stated=True, inverted=inverted)
    deep = is_grey or ";16" in raw_mode
    return Depth(16 if deep else 8, stated=not deep, inverted=inverted)


def to_8_bits(image: Image.Image, depth: Depth, mode: str) -> Image.Image:
    """Convert a loaded image to `L` or `RGB`, laid over white where it is transparent.

    Args:
        image: the image, with its pixels loaded.
        depth: what `depth_of` returned.
        mode: `L` or `RGB`.

    Raises:
        ValueError: if the file has 16 bits a sample and a transparent colour, or uses so few of the
            bits that the result would be next to black. Which scale was meant is not guessed,
            because the guess could differ from one file of a data set to the next.
    """
    if image.mode.startswith("I"):
        return _grey(image, depth).convert(mode)
    if depth.bits == 16 and isinstance(image.info.get("transparency"), tuple):
        # Pillow has cut the pixels to 8 bits, but not the colour.
        raise ValueError("it has a transparent colour of 16 bits a sample; save it with 8")
    plain = image
    if image.has_transparency_data:
        plain = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        plain = Image.alpha_composite(white, plain)
    plain = plain.convert(mode)
    # Pillow has kept the upper 8 of the 16 bits of each sample.
    if not depth.stated and min(_largest(plain), _largest(image)) < _QUARTER >> 8:
        raise ValueError(_too_dark(14))
    return plain


def _grey(image: Image.Image, depth: Depth) -> Image.Image:
    """Convert an image of one deep channel to `L`; Pillow itself would cut off what exceeds 255."""
    values = np.asarray(image)
    largest = int(values.max())
    if not depth.stated and 0 < largest < _QUARTER:
        raise ValueError(_too_dark(largest.bit_length()))
    grey = (values >> (depth.bits - 8)).astype(np.uint8)
    if depth.inverted:
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey = np.where(values == transparent, np.uint8(255), grey)
    return Image.fromarray(grey)


def _too_dark(bits: int) -> str:
    return (
        f"it stores 16 bits a sample and uses the lowest {bits} alone, so that it would be read "
        "as almost black; scale its values to all 16 bits, or save it with 8"
    )


def _largest(image: Image.Image) -> int:
    """Return the largest value of any channel."""
    extrema = np.asarray(image.getextrema())
    return int(extrema.max())


def _coding(image: Image.Image) -> tuple[str, tuple[object, ...]]:
    """Return the name of an image's codec and its arguments; empty if it has none."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", ()
    codec, *_, arguments = tiles[0]
    return codec, arguments if isinstance(arguments, tuple) else (arguments,)
