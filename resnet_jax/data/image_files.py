"""Image files as arrays of one size, with every damaged one named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".ppm", ".pgm")
"""Of the files in a folder that are taken for images, in lower case."""

MAX_PIXELS = 89_478_485
"""Of an image; a small file may unpack to far more. It is the number above which Pillow warns."""

# Of each of these Pillow runs its own decoder; those of others start programs (EPS).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM")
_MODES = {1: "L", 3: "RGB"}


class ImageFileError(ValueError):
    """A file that is no whole image of a known kind; the message names it and says why."""


def find_images(folder: Path) -> list[Path]:
    """The image files in a folder and the folders below it, sorted; hidden ones are left out.

    Args:
        folder: where to look; a file counts by its suffix (``SUFFIXES``).
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_images(
    paths: Sequence[Path], *, channels: int, side: int
) -> list[np.ndarray | ImageFileError]:
    """Reads image files, several at a time, and resizes each to a square.

    The way of a file to its pixels: the first frame; turned as its EXIF orientation says; what
    is transparent laid over white; grey or RGB, whichever ``channels`` asks for (grey by ITU-R
    601); resized with Pillow's bilinear filter, its proportions given up, as ``Transform`` does.

    Args:
        paths: PNG, JPEG, WebP, GIF, BMP or PNM files, whatever their names.
        channels: 1 or 3.
        side: height and width of the results, in pixels.

    Returns:
        For each path uint8 ``[side, side, channels]``, or what is wrong with it: it is missing or
        damaged, of another kind, or has more than ``MAX_PIXELS`` pixels.

    Raises:
        ValueError: if ``channels`` or ``side`` is out of range.
    """
    if channels not in _MODES:
        raise ValueError(f"`channels` (={channels}) must be 1 or 3")
    if side < 1:
        raise ValueError(f"`side` (={side}) must be at least 1")

    def read(path: Path) -> np.ndarray | ImageFileError:
        try:
            return _read(path, channels, side)
        except ImageFileError as error:
            return error

    # Of Pillow's warnings none matters here: too many pixels are an error. They are kept quiet
    # around the threads, and not in each, because the filters belong to the process.
    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool,
    ):
        return list(pool.map(read, paths))


def _read(path: Path, channels: int, side: int) -> np.ndarray:
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no file" if path.exists() else "is missing"
        raise ImageFileError(f"{path} {kind}")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise ImageFileError(
                    f"{path} has {pixels:,} pixels, more than the {MAX_PIXELS:,} that are read"
                )
            image.load()
            plain = _to_mode(ImageOps.exif_transpose(image), _MODES[channels])
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise ImageFileError(f"{path} is none of {kinds}, or its beginning is damaged") from error
    except Exception as error:  # decoders raise many kinds for damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageFileError(f"{path} cannot be read as an image: {reason}") from error
    if plain.size != (side, side):
        plain = plain.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(side, side, channels)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """``L`` or ``RGB`` pixels of an image in any 8- or 16-bit mode.

    Raises:
        ValueError: for pixels of more than 16 bits.
    """
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would cut off what is above 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits a pixel; save it with 8")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)
