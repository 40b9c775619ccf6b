"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

LOCK_FILE = ".lock"
"""Name of the file, in the folder itself; it stays when the lock is released."""


class FolderInUseError(RuntimeError):
    """Another process, or another thread, holds a folder's lock."""


@contextmanager
def folder_lock(folder: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep other processes out of a folder while the context lasts.

    The operating system releases the lock when its process ends, however that happens. A thread
    that holds the lock may take it again.

    Args:
        folder: it must exist.
        waiting: called once if the folder is in use, before waiting for it; None does not wait.

    Raises:
        FolderInUseError: if the folder is in use and `waiting` is None.
        OSError: if the lock file cannot be made.
    """
    lock = filelock.FileLock(folder / LOCK_FILE, is_singleton=True)
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
