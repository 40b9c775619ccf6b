"""Append to a file completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def append(path: Path, data: bytes, *, create: bool = True) -> None:
    """Append bytes to a file, and wait until they are on the disk.

    Args:
        path: the file.
        data: what to append.
        create: make a missing file, in a folder that exists.

    Raises:
        OSError: if the disk does not take all of it, and the file is then as long as before; or
            if the file is missing and must not be made.
    """
    if not create:
        path.stat()
    # Without a buffer, which would keep what was refused and write it when the file is closed.
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
