"""A run folder: one run at a time in it, and errors of the disk said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import jax


class RunFolderError(ValueError):
    """A run folder that cannot be used, and why."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps other processes from running in a folder; they fail at once.

    The operating system lets the lock go when its process ends, however that happens. A thread
    that holds it may take it again. Of several processes of one run the first one holds it.

    Args:
        folder: it must exist; the file ``.lock`` is made in it and stays.

    Raises:
        RunFolderError: if another process, or another thread, holds it, or if the folder cannot
            be written to.
    """
    if jax.process_index() != 0:
        yield
        return
    lock = filelock.FileLock(folder / ".lock", is_singleton=True)
    try:
        with disk_errors_explained(folder):
            lock.acquire(blocking=False)
    except filelock.Timeout:
        raise RunFolderError(
            f"`run_dir` (={folder}) is in use by another run; wait for it to end, or name another "
            "folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Around what writes into a run folder.

    Raises:
        RunFolderError: for an ``OSError``, such as a full disk.
    """
    try:
        yield
    except filelock.Timeout:
        raise
    except OSError as error:
        name = "" if error.filename is None else f" ({error.filename})"
        raise RunFolderError(
            f"cannot write to `run_dir` (={folder}): {error.strerror or error}{name}. Checkpoints "
            "that are there stay whole; go on with them where there is room"
        ) from error
