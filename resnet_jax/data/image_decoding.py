"""One image file: its header, and its pixels with 8 bits."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags, Image, UnidentifiedImageError

from ..storage import one_line, printable
from .image_depth import Depth, depth_of, to_8_bits
from .image_formats import FORMATS, formats_of
from .png_text import without_text

Result = TypeVar("Result")

MAX_PIXELS = 89_478_485
"""Most pixels an image may have: a small file may unpack to very many."""

MODES = {1: "L", 3: "RGB"}
"""Pillow's mode of 8 bits by the number of channels."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PILLOW = threading.Lock()


class ImageFileError(ValueError):
    """A file that is not an intact image of a known kind; the message names it and says why."""


@contextmanager
def pillow_settings() -> Iterator[None]:
    """Switch off Pillow's warnings and its own limit of pixels while files are opened.

    None of its warnings matters here, and `max_pixels` is the limit. Both settings belong to the
    process and not to a thread: one caller at a time has them.
    """
    with _PILLOW, warnings.catch_warnings(action="ignore"):
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_header(path: Path, max_pixels: int) -> None:
    """Read the beginning of an image file; use it inside `pillow_settings`.

    Args:
        path: the file.
        max_pixels: most pixels that it may have.

    Raises:
        ImageFileError: if it is missing, of another kind, too large, or of an unusable depth.
    """
    _open(path, max_pixels, lambda image, depth: None)


def decode(path: Path, mode: str, max_pixels: int) -> Image.Image:
    """Read an image file, upright, over white where it is transparent; see `pillow_settings`.

    Args:
        path: the file.
        mode: `L` or `RGB`.
        max_pixels: most pixels that it may have.

    Raises:
        ImageFileError: if it is missing or damaged, of another kind, or too large.
    """
    return _open(path, max_pixels, partial(_load, mode=mode))


def decode_bytes(
    data: bytes,
    name: str,
    mode: str,
    *,
    max_pixels: int = MAX_PIXELS,
    least: Callable[[int, int], tuple[int, int]] | None = None,
) -> Image.Image:
    """Decode an encoded image as `decode` does a file, without Pillow's settings being changed.

    Args:
        data: the contents of an image file.
        name: what messages call it; its suffix counts as that of a file does.
        mode: `L` or `RGB`.
        max_pixels: most pixels that it may have.
        least: returns the width and height that suffice, by those of the upright image. A JPEG
            file is then decoded at 1/2, 1/4 or 1/8 of its size if the result is not smaller than
            that: faster, and to other pixels. None decodes whole images.

    Raises:
        ImageFileError: if it is damaged, of another kind, or too large.
    """

    def load(image: Image.Image, depth: Depth) -> Image.Image:
        if least is not None and image.format == "JPEG":
            sideways = _orientation(image) >= 5
            size = least(*(image.size[::-1] if sideways else image.size))
            image.draft(None, size[::-1] if sideways else size)
        return _load(image, depth, mode)

    return _open(Path(name), max_pixels, load, data)


def _load(image: Image.Image, depth: Depth, mode: str) -> Image.Image:
    """Return the pixels of an open image, upright."""
    image.load()
    plain = to_8_bits(image, depth, mode)
    turn = _TURNS.get(_orientation(image))
    return plain if turn is None else plain.transpose(turn)


def _open(
    path: Path,
    max_pixels: int,
    use: Callable[[Image.Image, Depth], Result],
    data: bytes | None = None,
) -> Result:
    """Open a file, or its contents, and return what `use` makes of it; every error names it."""
    name = printable(str(path))

    def attempt(source: Path | io.BytesIO) -> Result:
        with Image.open(source, formats=formats_of(path.suffix)) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise ImageFileError(
                    f"{name} has {pixels:,} pixels, more than the {max_pixels:,} allowed"
                )
            return use(image, depth_of(image))

    try:
        if data is None and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a file" if path.exists() else "missing"
            raise ImageFileError(f"{name} is {kind}")
        try:
            return attempt(path if data is None else io.BytesIO(data))
        except ImageFileError:
            raise
        except ValueError:
            # So Pillow refuses long texts, too.
            shorter = without_text(path.read_bytes() if data is None else data)
            if shorter is None:
                raise
            return attempt(io.BytesIO(shorter))
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise ImageFileError(f"{name} is none of {kinds}, or its beginning is damaged") from error
    except Exception as error:  # decoders raise many kinds for damaged bytes
        raise ImageFileError(f"{name} cannot be read as an image: {one_line(error)}") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; where it is missing or unreadable, 1 (upright).

    The other tags do not matter, damaged or not.
    """
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged bytes raise many kinds
        return 1
    return value if isinstance(value, int) else 1
