"""Decoded arrays on disk, verified whenever they are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .base import Arrays, array_digest
from .staging import staged

_FORMAT = 1
_MANIFEST = "manifest.json"
_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


class DamagedCacheError(Exception):
    """A cache is there but not as it was written; the message says in what."""


def write_cache(data_dir: Path, folder: Path, train: Arrays, test: Arrays) -> dict[str, str]:
    """Writes a data set's arrays as `.npy` files with a manifest, all or nothing.

    Use it inside `writing`.

    Args:
        data_dir: the data folder.
        folder: folder for this data set's arrays, inside `data_dir`; replaced if it exists.
        train: training images and labels.
        test: test images and labels.

    Returns:
        The digest of each array, by name.
    """
    arrays = dict(zip(_NAMES, (train.images, train.labels, test.images, test.labels), strict=True))
    digests = {name: array_digest(array) for name, array in arrays.items()}
    with staged(data_dir, folder, replace=True) as partial:
        partial.mkdir()
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        manifest = {"format": _FORMAT, "sha256": digests}
        (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return digests


def read_cache(folder: Path) -> tuple[Arrays, Arrays, dict[str, str]] | None:
    """Reads what `write_cache` wrote and verifies every byte of it.

    Args:
        folder: the folder with the arrays.

    Returns:
        `(train, test, digests)`, or None if there is no such folder.

    Raises:
        DamagedCacheError: if a file is missing, unreadable or not as it was written.
    """
    if not folder.is_dir():
        return None
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        if manifest["format"] != _FORMAT:
            raise DamagedCacheError(f"its format is {manifest['format']}, not {_FORMAT}")
        digests = {name: str(manifest["sha256"][name]) for name in _NAMES}
        arrays = []
        for name in _NAMES:
            array = np.load(folder / f"{name}.npy", allow_pickle=False)
            if array_digest(array) != digests[name]:
                raise DamagedCacheError(f"the checksum of {name}.npy is wrong")
            arrays.append(array)
        return Arrays(arrays[0], arrays[1]), Arrays(arrays[2], arrays[3]), digests
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise DamagedCacheError(str(error)) from error
