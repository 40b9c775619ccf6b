"""Decoded arrays on disk, verified whenever they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..storage import one_line, read_json, write_json
from .base import Arrays, Parts
from .data_folder import staged

_FORMAT = 1
_MANIFEST = "manifest.json"


class DamagedCacheError(Exception):
    """A cache is there but differs from what was written; the message says where."""


def write_cache(data_dir: Path, folder: Path, parts: Parts) -> None:
    """Write a data set's arrays as `.npy` files with a manifest of their digests, all or nothing.

    Use it inside `writing`.

    Args:
        data_dir: the data folder.
        folder: folder for this data set's arrays, inside `data_dir`; replaced if it exists.
        parts: the images and labels.

    Raises:
        OSError: if the files cannot be written.
    """
    with staged(data_dir, folder, replace=True) as partial:
        partial.mkdir()
        for name, array in parts.arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        write_json(partial / _MANIFEST, {"format": _FORMAT, "sha256": parts.digests})


def read_cache(folder: Path) -> Parts | None:
    """Read what `write_cache` wrote and verify every byte of it.

    Args:
        folder: the folder with the arrays.

    Returns:
        The images and labels, or None if there is no such folder.

    Raises:
        DamagedCacheError: if a file is missing, unreadable or changed.
    """
    if not folder.is_dir():
        return None
    try:
        manifest = read_json(folder / _MANIFEST)
        if manifest["format"] != _FORMAT:
            raise DamagedCacheError(f"its format is {manifest['format']}, not {_FORMAT}")
        parts = Parts(_load(folder, "train"), _load(folder, "test"))
        for name, digest in parts.digests.items():
            if manifest["sha256"][name] != digest:
                raise DamagedCacheError(f"the checksum of {name}.npy is wrong")
    except KeyError as error:
        raise DamagedCacheError(f"{_MANIFEST} lacks {error}") from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DamagedCacheError(one_line(error)) from error
    return parts


def _load(folder: Path, part: str) -> Arrays:
    images, labels = (
        np.load(folder / f"{part}_{kind}.npy", allow_pickle=False) for kind in ("images", "labels")
    )
    return Arrays(images, labels)
