"""Read image files as arrays of one size, and name every damaged one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ..storage import printable, whole_number
from .base import DatasetError
from .image_decoding import (
    MAX_PIXELS,
    MODES,
    ImageFileError,
    check_header,
    decode,
    pillow_settings,
)
from .progress import Advance, progress_bar

Argument = TypeVar("Argument")
Result = TypeVar("Result")
Resize = Callable[[Image.Image], np.ndarray]
"""Makes uint8 `[side, side, channels]` of a picture whose mode is `L` or `RGB`."""

_AT_A_TIME = 256
_SHOWN = 10


def read_images(
    paths: Sequence[Path],
    *,
    channels: int,
    side: int,
    resize: Resize | None = None,
    max_pixels: int = MAX_PIXELS,
) -> list[np.ndarray | ImageFileError]:
    """Read image files, several at a time, and resize each to a square.

    The first frame of each file is taken, laid over white where it is transparent, converted to
    grey (by ITU-R 601) or RGB as `channels` asks, turned as its EXIF orientation says, and resized.
    Of samples with more than 8 bits the upper 8 are taken; a file with 16 that uses the lowest
    alone is an error.

    Args:
        paths: files of the formats in `image_formats`, such as PNG, JPEG, WebP and TIFF; most are
            known by their contents, whatever their names.
        channels: 1 or 3.
        side: height and width of the results, in pixels.
        resize: makes a square of a picture, such as `ImageTransform.pixels`; None resizes with
            Pillow's bilinear filter without keeping the proportions, as `Transform` does.
        max_pixels: most pixels that a file may have.

    Returns:
        For each path uint8 `[side, side, channels]`, or an error if the file is missing or damaged,
        is of another kind, or has more than `max_pixels` pixels.

    Raises:
        TypeError: if `side` or `max_pixels` is no whole number.
        ValueError: if `channels`, `side` or `max_pixels` is out of range.
    """
    if channels not in MODES:
        raise ValueError(f"`channels` (={channels}) must be 1 or 3")
    side, max_pixels = whole_number("side", side), whole_number("max_pixels", max_pixels)
    read = partial(
        _read, channels=channels, resize=resize or _squash_to(side), max_pixels=max_pixels
    )
    return _in_threads(read, paths)


def read_into(
    images: np.ndarray,
    paths: Sequence[str | Path],
    *,
    resize: Resize | None = None,
    max_pixels: int = MAX_PIXELS,
    advance: Advance = lambda amount, /: None,
) -> list[ImageFileError]:
    """Read image files as `read_images` does, straight into an array.

    Args:
        images: uint8 `[n, side, side, channels]`, where they go.
        paths: the n files.
        resize: as for `read_images`.
        max_pixels: most pixels that a file may have.
        advance: is told now and then how many more files are done.

    Returns:
        What is wrong with files; the images of these are not written.
    """
    side, channels = images.shape[2:]
    make = resize or _squash_to(side)

    def read(index: int) -> ImageFileError | None:
        image = _read(Path(paths[index]), channels, make, max_pixels)
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


def check_images(
    paths: Sequence[str | Path], *, max_pixels: int = MAX_PIXELS, label: str = "Checking images"
) -> None:
    """Raise if there are files that are no images or too large, by their beginnings.

    Args:
        paths: the files.
        max_pixels: most pixels that a file may have.
        label: what the progress bar says.

    Raises:
        DatasetError: naming the first ones, and a file that lists all if there are more.
    """
    with progress_bar(label, len(paths)) as advance:
        damaged = check_headers(paths, max_pixels=max_pixels, advance=advance)
    refuse_damaged(damaged, len(paths))


def refuse_damaged(damaged: Sequence[ImageFileError], total: int) -> None:
    """Raise if there are damaged files.

    Args:
        damaged: what is wrong with them.
        total: number of files that were looked at.

    Raises:
        DatasetError: naming the first ones, and a file that lists all if there are more.
    """
    if not damaged:
        return
    listed = "; ".join(map(str, damaged[:_SHOWN]))
    more = ""
    if len(damaged) > _SHOWN:
        more = f"; and {len(damaged) - _SHOWN} more"
        place = _write_list(damaged)
        if place is not None:
            more += f", all listed in {printable(str(place))}"
    raise DatasetError(
        f"{len(damaged)} of {total} images cannot be used; repair or remove them: {listed}{more}"
    )


def _write_list(damaged: Sequence[ImageFileError]) -> Path | None:
    """Write a line on each damaged file into the temporary folder; None if that fails."""
    try:
        handle, name = tempfile.mkstemp(prefix="unusable-images-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{error}\n" for error in damaged)
    except OSError:
        return None
    return Path(name)


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


def _read(
    path: Path, channels: int, resize: Resize, max_pixels: int
) -> np.ndarray | ImageFileError:
    try:
        plain = decode(path, MODES[channels], max_pixels)
    except ImageFileError as error:
        return _without_frames(error)
    return resize(plain)


def _squash_to(side: int) -> Resize:
    """Return a function that resizes pictures to squares, whatever their proportions."""

    def squash(picture: Image.Image) -> np.ndarray:
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(picture).reshape(side, side, len(picture.getbands()))

    return squash


def _without_frames(error: ImageFileError) -> ImageFileError:
    """Return the error without its traceback, whose frames would keep pixels in memory."""
    return ImageFileError(*error.args)
