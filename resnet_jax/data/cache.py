"""Decoded arrays on disk, verified whenever they are read."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from ..storage import one_line, read_json, write_json
from .base import Arrays, Parts
from .data_folder import staged

_FORMAT = 1
_MANIFEST = "manifest.json"


class DamagedCacheError(Exception):
    """A cache is there but differs from what was written; the message says where."""


class ArrayCache:
    """The arrays of a data set in the data folder.

    Args:
        data_dir: the data folder.
        name: the name of the data set.
        source: where the images are from, if they are not the published ones; such arrays have a
            folder of their own.
        stamp: a text that changes when the files at `source` do.

    Attributes:
        damage: what was wrong with the arrays when they were last looked for; empty if nothing.
    """

    def __init__(
        self, data_dir: Path, name: str, *, source: Path | None = None, stamp: str = ""
    ) -> None:
        self._data_dir, self._stamp = data_dir, stamp
        self.damage = ""
        suffix = ""
        if source is not None:
            path = str(source.resolve()).encode(errors="surrogateescape")
            suffix = f"-{hashlib.sha256(path).hexdigest()[:8]}"
        self._folder = data_dir / "arrays" / f"{name}{suffix}"

    def look(self, *, warn: bool = False) -> Parts | None:
        """Return the arrays; None if there are none, of other files, or damaged ones.

        Args:
            warn: warn of damaged ones. Without the lock of `writing` they may only be being
                replaced.

        Warns:
            UserWarning: if they are damaged.
        """
        try:
            return read_cache(self._folder, stamp=self._stamp)
        except DamagedCacheError as error:
            self.damage = f"the cached arrays in {self._folder} are damaged ({error})"
            if warn:
                warnings.warn(f"{self.damage}; they are made anew", stacklevel=4)
            return None

    def keep(self, parts: Parts) -> None:
        """Write the arrays, in the place of older ones; use it inside `writing`.

        Args:
            parts: the images and labels.

        Raises:
            OSError: if the files cannot be written.
        """
        write_cache(self._data_dir, self._folder, parts, stamp=self._stamp)


def write_cache(data_dir: Path, folder: Path, parts: Parts, *, stamp: str = "") -> None:
    """Write a data set's arrays as `.npy` files with a manifest of their digests, all or nothing.

    Use it inside `writing`.

    Args:
        data_dir: the data folder.
        folder: folder for this data set's arrays, inside `data_dir`; replaced if it exists.
        parts: the images and labels.
        stamp: a text that changes when the files that they are from do.

    Raises:
        OSError: if the files cannot be written.
    """
    manifest = {"format": _FORMAT, "sha256": parts.digests, **({"stamp": stamp} if stamp else {})}
    with staged(data_dir, folder, replace=True) as partial:
        partial.mkdir()
        for name, array in parts.arrays.items():
            _save(partial / f"{name}.npy", array)
        write_json(partial / _MANIFEST, manifest)


def _save(path: Path, array: np.ndarray) -> None:
    """Write an `.npy` file; a full disk is an error with its number, unlike `numpy.save`'s."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def read_cache(folder: Path, *, stamp: str = "") -> Parts | None:
    """Read what `write_cache` wrote and verify every byte of it.

    Args:
        folder: the folder with the arrays.
        stamp: what `write_cache` was given.

    Returns:
        The images and labels, or None if there is no such folder or its stamp differs.

    Raises:
        DamagedCacheError: if a file is missing, unreadable or changed.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - `Path.is_dir` raises for some names
        return None
    try:
        manifest = read_json(folder / _MANIFEST)
        if manifest["format"] != _FORMAT:
            raise DamagedCacheError(f"its format is {manifest['format']}, not {_FORMAT}")
        if manifest.get("stamp", "") != stamp:
            return None
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
