"""Read image files as arrays of one size, and name every damaged one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..storage import one_line

MAX_PIXELS = 89_478_485
"""Most pixels an image may have: a small file may unpack to very many. Above it Pillow warns."""

# Pillow decodes these itself; for others it may start programs (EPS).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM")
_MODES = {1: "L", 3: "RGB"}


class ImageFileError(ValueError):
    """A file that is not an intact image of a known kind; the message names it and says why."""


def read_images(
    paths: Sequence[Path], *, channels: int, side: int, max_pixels: int = MAX_PIXELS
) -> list[np.ndarray | ImageFileError]:
    """Read image files, several at a time, and resize each to a square.

    The first frame of each file is taken, turned as its EXIF orientation says, laid over white
    where it is transparent, converted to grey (by ITU-R 601) or RGB as `channels` asks, and resized
    with Pillow's bilinear filter without keeping its proportions, as `Transform` does.

    Args:
        paths: PNG, JPEG, WebP, GIF, BMP or PNM files, whatever their names.
        channels: 1 or 3.
        side: height and width of the results, in pixels.
        max_pixels: most pixels that a file may have.

    Returns:
        For each path uint8 `[side, side, channels]`, or an error if the file is missing or damaged,
        is of another kind, or has more than `max_pixels` pixels.

    Raises:
        ValueError: if `channels` or `side` is out of range.
    """
    if channels not in _MODES:
        raise ValueError(f"`channels` (={channels}) must be 1 or 3")
    if side < 1:
        raise ValueError(f"`side` (={side}) must be at least 1")

    def read(path: Path) -> np.ndarray | ImageFileError:
        try:
            return _read(path, channels, side, max_pixels)
        except ImageFileError as error:
            return error

    # None of Pillow's warnings matters here: too many pixels are an error. They are silenced
    # around the threads, not in each, because the filters belong to the process.
    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool,
    ):
        return list(pool.map(read, paths))


def _read(path: Path, channels: int, side: int, max_pixels: int) -> np.ndarray:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a file" if path.exists() else "missing"
        raise ImageFileError(f"{path} is {kind}")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise ImageFileError(
                    f"{path} has {pixels:,} pixels, more than the {max_pixels:,} allowed"
                )
            image.load()
            plain = _to_mode(ImageOps.exif_transpose(image), _MODES[channels])
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise ImageFileError(f"{path} is none of {kinds}, or its beginning is damaged") from error
    except Exception as error:  # decoders raise many kinds for damaged bytes
        raise ImageFileError(f"{path} cannot be read as an image: {one_line(error)}") from error
    if plain.size != (side, side):
        plain = plain.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(side, side, channels)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of any 8- or 16-bit mode to `L` or `RGB`.

    Raises:
        ValueError: if its pixels have more than 16 bits.
    """
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would cut off what is above 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits per pixel; save it with 8")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
