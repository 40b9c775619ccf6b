"""The images of all parts of a folder in memory, or everything that is wrong with its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...storage import printable
from ..base import Arrays
from ..image_decoding import ImageFileError
from ..image_files import Resize, check_headers, read_into, refuse_damaged
from ..memory import check_memory
from ..progress import progress_bar
from .held_out import Files


def read_parts(
    root: Path,
    parts: Mapping[str, Files],
    *,
    channels: int,
    side: int,
    resize: Resize | None,
    max_pixels: int,
) -> dict[str, Arrays]:
    """Read all images of all parts; report all damaged ones together.

    Each array is allocated once, in its final size, and the images are read into it.

    Args:
        root: the folder, for messages.
        parts: the files of each part.
        channels: 1 or 3.
        side: height and width of the arrays, in pixels.
        resize: as for `read_images`.
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
    refuse_damaged(damaged, total)
    images = {
        part: np.empty((len(files.paths), side, side, channels), np.uint8)
        for part, files in parts.items()
    }
    with progress_bar(f"Reading {count}", total) as advance:
        for part, files in parts.items():
            damaged += read_into(
                images[part], files.paths, resize=resize, max_pixels=max_pixels, advance=advance
            )
    refuse_damaged(damaged, total)
    return {part: Arrays(images[part], files.labels) for part, files in parts.items()}
