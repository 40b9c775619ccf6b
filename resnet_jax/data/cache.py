"""Decoded arrays on disk, verified whenever they are read."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

from .array_files import DamagedCacheError, damage_explained, read_arrays, write_arrays
from .base import Arrays, Parts

_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


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
    """Write a data set's arrays with a manifest of their digests, all or nothing.

    Use it inside `writing`.

    Args:
        data_dir: the data folder.
        folder: folder for this data set's arrays, inside `data_dir`; replaced if it exists.
        parts: the images and labels.
        stamp: a text that changes when the files that they are from do.

    Raises:
        OSError: if the files cannot be written.
    """
    write_arrays(data_dir, folder, parts.arrays, parts.digests, stamp=stamp)


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
    with damage_explained():
        stored = read_arrays(folder, _NAMES, stamp=stamp)
        if stored is None:
            return None
        images, labels, *test = stored.arrays.values()
        parts = Parts(Arrays(images, labels), Arrays(*test))
        stored.verify(parts.digests)
    return parts
