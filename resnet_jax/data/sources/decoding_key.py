"""A text that changes with image files and with anything that changes their pixels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, features

from ..image_transform import ImageTransform
from ..records.base import Names, digest
from .held_out import Files

_FORMAT = 1
"""Bump it when the same files are decoded to other pixels."""
_CODECS = ("jpg", "libjpeg_turbo", "webp", "avif", "libtiff", "jpg_2000")


def decoding_key(
    root: Path,
    parts: Mapping[str, Files],
    *,
    side: int,
    channels: int,
    transform: ImageTransform | None,
    max_pixels: int,
) -> str:
    """Return the SHA-256 of everything that decides about the pixels and labels of a folder.

    Files are known by their names, sizes and times of change; their contents are not read.

    Args:
        root: the folder.
        parts: the files of each part.
        side: height and width of the arrays, in pixels.
        channels: 1 or 3.
        transform: makes the squares; None squashes images.
        max_pixels: most pixels that a file may have.
    """
    resize = "squash"
    if transform is not None:
        # Only a border shows the mean, and nothing the deviation.
        mean = transform.mean if transform.crop_mode == "border" else (0.0,) * channels
        resize = repr(dataclasses.replace(transform, mean=mean, std=(1.0,) * channels))
    texts = [str(_FORMAT), str(root.resolve()), resize, f"{side} {channels} {max_pixels}"]
    texts += [f"pillow {Image.__version__}", *map(_codec, _CODECS)]
    arrays = []
    for part, files in parts.items():
        texts += [part, Names(files.paths).digest]
        arrays += [_states(files.paths), files.labels]
    return digest(texts, *arrays)


def _codec(name: str) -> str:
    """Return the version of the library that Pillow decodes a format with."""
    known = name in (*features.modules, *features.codecs, *features.features)
    return f"{name} {features.version(name) if known else None}"


def _states(paths: list[str]) -> np.ndarray:
    """Return the size and the time of change of each file, int64 `[n, 2]`; -1 if it is missing."""
    states = np.full((len(paths), 2), -1, np.int64)
    for row, path in enumerate(paths):
        try:
            state = os.stat(path)  # noqa: PTH116 - of many thousand files
        except OSError:
            continue
        states[row] = state.st_size, state.st_mtime_ns
    return states
