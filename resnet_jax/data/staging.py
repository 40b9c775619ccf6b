"""Writing into a data folder: one writer at a time, and all or nothing."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from .base import DatasetError

_logger = logging.getLogger(__name__)
_PARTIAL = ".partial-"


@contextmanager
def writing(data_dir: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from writing into it meanwhile.

    Leftovers of a writer that was killed are removed first.

    Args:
        data_dir: the folder.

    Raises:
        DatasetError: if the folder cannot be made or written to, or is full.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(data_dir / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            _logger.warning("Waiting for another process that writes to %s.", data_dir)
            lock.acquire()
        try:
            for leftover in data_dir.glob(_PARTIAL + "*"):
                shutil.rmtree(leftover)
            yield
        finally:
            lock.release()
    except OSError as error:
        raise DatasetError(
            f"Cannot write to the data folder {data_dir}: {error.strerror or error}. "
            "Give a folder on a disk with room by --data-dir."
        ) from error


@contextmanager
def staged(data_dir: Path, target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Lets a file or folder be written under another name and then puts it in place at once.

    Use it inside `writing`.

    Args:
        data_dir: the data folder.
        target: where the result belongs, inside `data_dir`.
        replace: whether a folder that is there already is removed at the last moment.

    Yields:
        The path to write to: a name that does not exist yet, in an empty folder on the same disk.
        If the body raises, it is removed and `target` is left as it was.

    Raises:
        OSError: if `target` is a folder with something in it and `replace` is False.
    """
    workplace = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=data_dir))
    try:
        partial = workplace / target.name
        yield partial
        target.parent.mkdir(parents=True, exist_ok=True)
        if replace and target.is_dir():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
