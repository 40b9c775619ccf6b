"""Encoded images with labels, each read when it is needed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np


class Records(Protocol):
    """Encoded images with labels, in a fixed order; any of them can be read at any time.

    They are sent to worker processes by pickle, and read by several threads at once: keep no
    open files in them, and little that grows with the number of images.
    """

    @property
    def labels(self) -> np.ndarray:
        """The labels, int32 `[n]`."""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the files' names or sizes, order or labels.

        The contents of the files are not read for it.
        """

    def __len__(self) -> int:
        """Return how many there are."""

    def read(self, index: int) -> bytes:
        """Return the contents of an image file.

        Args:
            index: its position, from 0.

        Raises:
            OSError: if it cannot be read.
        """

    def name(self, index: int) -> str:
        """Return what messages call an image: a path, or a file and a position in it.

        Args:
            index: its position, from 0.
        """


class Divided(NamedTuple):
    """A data set of records.

    Attributes:
        class_names: names in label order.
        parts: the records of `train`, and of `valid` and `test` where the source has them.
    """

    class_names: tuple[str, ...]
    parts: Mapping[str, Records]


@dataclasses.dataclass(frozen=True, eq=False)
class Selected:
    """Some of other records.

    Attributes:
        records: the others.
        positions: int64 `[n]`, positions in them.
    """

    records: Records
    positions: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The labels, int32 `[n]`."""
        return self.records.labels[self.positions]

    @property
    def fingerprint(self) -> str:
        """The digest of the others' and of the positions."""
        positions = np.ascontiguousarray(self.positions, np.int64)
        return digest([self.records.fingerprint], positions)

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: int) -> bytes:
        """Return the contents of an image file; see `Records`."""
        return self.records.read(int(self.positions[index]))

    def name(self, index: int) -> str:
        """Return what messages call an image; see `Records`."""
        return self.records.name(int(self.positions[index]))


class Names:
    """Many texts in little memory: one run of bytes, and where each text ends.

    Args:
        texts: the texts; file names that are no UTF-8 are kept, too.

    >>> names = Names(["a/b.png", "c.png"])
    >>> len(names), names[1]
    (2, 'c.png')
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start = 0 if index == 0 else int(self._ends[index - 1])
        return self._text[start : int(self._ends[index])].decode("utf-8", "surrogateescape")

    @property
    def digest(self) -> str:
        """The digest of all of them, in their order."""
        return digest([hashlib.sha256(self._text).hexdigest()], self._ends)


def digest(texts: Iterable[str], *arrays: np.ndarray) -> str:
    """Return the SHA-256 of some texts and the contents of some arrays, in hexadecimal."""
    result = hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape"))
    for array in arrays:
        result.update(f"\n{array.dtype.str} {array.shape}\n".encode())
        result.update(np.ascontiguousarray(array).data)
    return result.hexdigest()
