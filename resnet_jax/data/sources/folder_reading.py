"""The images of all parts of a folder in memory, or everything that is wrong with its files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...storage import printable
from ..base import Arrays, DatasetError
from ..image_decoding import ImageFileError
from ..image_files import check_headers, read_into
from ..memory import check_memory
from ..progress import progress_bar
from .held_out import Files

_SHOWN = 10


def read_parts(
    root: Path, parts: Mapping[str, Files], *, channels: int, side: int, max_pixels: int
) -> dict[str, Arrays]:
    """Read all images of all parts; report all damaged ones together.

    Each array is allocated once, in its final size, and the images are read into it.

    Args:
        root: the folder, for messages.
        parts: the files of each part.
        channels: 1 or 3.
        side: height and width of the arrays, in pixels.
        max_pixels: most pixels that a file may have.

    Raises:
        DatasetError: if files are damaged, or the arrays do not fit into memory.
    """
    total = sum(len(files.paths) for files in parts.values())
    check_memory(total, side, channels)
    count = f"{total:,} images of {printable(str(root))}"
    damaged: list[ImageFileError] = []
    with progress_bar(f"Checking {count}", total) as advance:
        for files in parts.values():
            damaged += check_headers(files.paths, max_pixels=max_pixels, advance=advance)
    _refuse(damaged, total)
    images = {
        part: np.empty((len(files.paths), side, side, channels), np.uint8)
        for part, files in parts.items()
    }
    with progress_bar(f"Reading {count}", total) as advance:
        for part, files in parts.items():
            damaged += read_into(images[part], files.paths, max_pixels=max_pixels, advance=advance)
    _refuse(damaged, total)
    return {part: Arrays(images[part], files.labels) for part, files in parts.items()}


def _refuse(damaged: Sequence[ImageFileError], total: int) -> None:
    """Raise if there are damaged files.

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
