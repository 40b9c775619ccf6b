"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of one. If the block raises, the
    temporary file is removed and `path` stays as it was. Missing parent folders are created.

    Args:
        path: path of the finished file.

    Yields:
        The path to write to, in the same folder (a rename is atomic only within a file system).

    Raises:
        OSError: if the file cannot be written, or if the block wrote none; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        # Without this a power cut after the rename could leave an empty file under the new name.
        with temporary.open("rb+") as file:
            to_disk(file)
        temporary.replace(path)
    except OSError as error:
        # A full disk is found by writing to an open file, which has no name.
        unnamed = error.filename is None or str(error.filename) == str(temporary)
        if unnamed and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def to_disk(file: IO[str] | IO[bytes]) -> None:
    """Wait until everything written to a file is on the disk.

    Args:
        file: file that is open for writing.
    """
    file.flush()
    os.fsync(file.fileno())
