"""Read image files as arrays of one size, and name every damaged one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from .image_decoding import (
    MAX_PIXELS,
    MODES,
    ImageFileError,
    check_header,
    decode,
    pillow_settings,
)
from .progress import Advance

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_AT_A_TIME = 256


def read_images(
    paths: Sequence[Path], *, channels: int, side: int, max_pixels: int = MAX_PIXELS
) -> list[np.ndarray | ImageFileError]:
    """Read image files, several at a time, and resize each to a square.

    The first frame of each file is taken, laid over white where it is transparent, converted to
    grey (by ITU-R 601) or RGB as `channels` asks, turned as its EXIF orientation says, and resized
    with Pillow's bilinear filter without keeping its proportions, as `Transform` does. Of samples
    with more than 8 bits the upper 8 are taken; a file with 16 that uses the lowest alone is an
    error.

    Args:
        paths: files of the formats in `image_formats`, such as PNG, JPEG, WebP and TIFF; most are
            known by their contents, whatever their names.
        channels: 1 or 3.
        side: height and width of the results, in pixels.
        max_pixels: most pixels that a file may have.

    Returns:
        For each path uint8 `[side, side, channels]`, or an error if the file is missing or damaged,
        is of another kind, or has more than `max_pixels` pixels.

    Raises:
        ValueError: if `channels`, `side` or `max_pixels` is out of range.
    """
    if channels not in MODES:
        raise ValueError(f"`channels` (={channels}) must be 1 or 3")
    for name, value in (("side", side), ("max_pixels", max_pixels)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    read = partial(_read, channels=channels, side=side, max_pixels=max_pixels)
    return _in_threads(read, paths)


def read_into(
    images: np.ndarray,
    paths: Sequence[str | Path],
    *,
    max_pixels: int = MAX_PIXELS,
    advance: Advance = lambda amount, /: None,
) -> list[ImageFileError]:
    """Read image files as `read_images` does, straight into an array.

    Args:
        images: uint8 `[n, side, side, channels]`, where they go.
        paths: the n files.
        max_pixels: most pixels that a file may have.
        advance: is told now and then how many more files are done.

    Returns:
        What is wrong with files; the images of these are not written.
    """
    side, channels = images.shape[2:]

    def read(index: int) -> ImageFileError | None:
        image = _read(Path(paths[index]), channels, side, max_pixels)
        if isinstance(image, ImageFileError):
            return image
        images[index] = image
        return None

    return _errors(_in_threads(read, range(len(paths)), advance))


def check_headers(
    paths: Sequence[str | Path],
    *,
    max_pixels: int = MAX_PIXELS,
    advance: Advance = lambda amount, /: None,
) -> list[ImageFileError]:
    """Find the files that are no images or too large, by their beginnings.

    Args:
        paths: the files.
        max_pixels: most pixels that a file may have.
        advance: is told now and then how many more files are done.

    Returns:
        What is wrong with them, in their order.
    """

    def check(path: str | Path) -> ImageFileError | None:
        try:
            check_header(Path(path), max_pixels)
        except ImageFileError as error:
            return _without_frames(error)
        return None

    return _errors(_in_threads(check, paths, advance))


def _errors(results: Iterable[ImageFileError | None]) -> list[ImageFileError]:
    return [result for result in results if result is not None]


def _in_threads(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    advance: Advance = lambda amount, /: None,
) -> list[Result]:
    """Return the results of a function for each argument, in their order, several at a time."""
    results: list[Result] = []
    with pillow_settings(), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(arguments), _AT_A_TIME):
            chunk = arguments[start : start + _AT_A_TIME]
            results += pool.map(function, chunk)
            advance(len(chunk))
    return results


def _read(path: Path, channels: int, side: int, max_pixels: int) -> np.ndarray | ImageFileError:
    try:
        plain = decode(path, MODES[channels], max_pixels)
    except ImageFileError as error:
        return _without_frames(error)
    if plain.size != (side, side):
        plain = plain.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(side, side, channels)


def _without_frames(error: ImageFileError) -> ImageFileError:
    """Return the error without its traceback, whose frames would keep pixels in memory."""
    return ImageFileError(*error.args)
