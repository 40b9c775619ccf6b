"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

LOCK_FILE = ".lock"
"""Name of the lock file in the folder; the file stays when the lock is released."""


def is_locked(folder: Path) -> bool:
    """Return whether another process, or another thread, holds a folder's lock.

    Args:
        folder: the folder; nothing is created in it.
    """
    if not (folder / LOCK_FILE).is_file():
        return False
    try:
        with folder_lock(folder):
            return False
    except FolderInUseError:
        return True
    except OSError:  # where nothing can be written, nothing runs
        return False


class FolderInUseError(RuntimeError):
    """Another process, or another thread, holds a folder's lock."""


@contextmanager
def folder_lock(folder: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a folder's lock while the block runs.

    The lock keeps out only those who ask for it. The operating system releases it when the
    process ends, however that happens. A thread that holds the lock may take it again.

    Args:
        folder: the folder; it is created if it is missing.
        waiting: called once, if the folder is in use, before waiting for it; with None, a folder
            in use is an error.

    Raises:
        FolderInUseError: if the folder is in use and `waiting` is None.
        OSError: if the lock file cannot be created.
    """
    # One object for each folder, however its path is spelled, counts how often a thread holds it.
    lock = filelock.FileLock(folder.resolve() / LOCK_FILE, is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if waiting is None:
            raise FolderInUseError(f"{folder} is in use") from None
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
