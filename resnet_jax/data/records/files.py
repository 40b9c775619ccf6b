"""Records that are files of their own, or parts of larger files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .base import Names, digest


class FileRecords:
    """Image files, one an image.

    Sizes are taken once, for the fingerprint; of the files nothing but their names is kept.

    Args:
        root: the folder that they are in; the fingerprint does not depend on it.
        paths: the n files.
        labels: int32 `[n]`.

    Raises:
        OSError: if a file is missing.
    """

    def __init__(self, root: Path, paths: Sequence[str], labels: np.ndarray) -> None:
        start = len(str(root)) + 1
        self.labels = labels
        self._root = str(root)
        self._names = Names(path[start:] for path in paths)
        sizes = np.fromiter((os.stat(path).st_size for path in paths), np.int64, len(paths))  # noqa: PTH116
        self.fingerprint = digest([self._names.digest], sizes, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the contents of an image file; see `Records`."""
        return Path(self.name(index)).read_bytes()

    def name(self, index: int) -> str:
        """Return the path of an image; see `Records`."""
        return os.path.join(self._root, self._names[index])  # noqa: PTH118 - many of them


class PackedRecords:
    """Image files that lie one behind the other in larger files, without compression.

    Args:
        root: the folder that the larger files are in; the fingerprint does not depend on it.
        files: names of the larger files, inside `root`.
        shard: int32 `[n]`, positions in `files`.
        start: int64 `[n]`, where each image begins, in bytes.
        size: int64 `[n]`, its length in bytes.
        labels: int32 `[n]`.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        *,
        shard: np.ndarray,
        start: np.ndarray,
        size: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        self._paths = [str(root / name) for name in files]
        self._shard, self._start, self._size = shard, start, size
        self.labels = labels
        self.fingerprint = digest(files, shard, start, size, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the contents of an image file; see `Records`."""
        size = int(self._size[index])
        with open(self._paths[self._shard[index]], "rb", buffering=0) as file:  # noqa: PTH123
            file.seek(int(self._start[index]))
            data = file.read(size)
        if len(data) != size:
            raise OSError(f"{self.name(index)} is cut off")
        return data

    def name(self, index: int) -> str:
        """Return the file and the position of an image in it; see `Records`."""
        return f"{self._paths[self._shard[index]]}, byte {int(self._start[index]):,}"
