"""A published file: its name, size and checksum, and where it can be had."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that a data set is distributed in.

    Attributes:
        name: its published name.
        digest: its published checksum, as `md5:` or `sha256:` and hexadecimal digits.
        urls: its addresses, the authors' first; each must give the same bytes.
        size: its published size in bytes, or None if it is not known.
    """

    name: str
    digest: str
    urls: tuple[str, ...] = ()
    size: int | None = None

    @property
    def algorithm(self) -> str:
        """The name of the checksum's algorithm."""
        return self.digest.partition(":")[0]


def file_digest(path: Path, algorithm: str) -> str:
    """Return the checksum of a file, with the name of the algorithm before it.

    Args:
        path: the file.
        algorithm: `md5` or `sha256`.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        value = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{value.hexdigest()}"


def bytes_digest(data: bytes, algorithm: str) -> str:
    """Return the checksum of bytes, with the name of the algorithm before it.

    Args:
        data: the bytes.
        algorithm: `md5` or `sha256`.

    >>> bytes_digest(b"", "md5")
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    """
    return f"{algorithm}:{hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()}"
