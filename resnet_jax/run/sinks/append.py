"""Append to a file completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file, and wait until they are on the disk.

    Args:
        path: the file; a missing one is made, in a folder that exists.
        data: what to append.

    Raises:
        OSError: if the disk does not take all of it; the file is then as long as before.
    """
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
