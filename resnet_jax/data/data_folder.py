"""The data folder: where it is, and how it is written to: one writer at a time, all or nothing."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..storage import expand_user, folder_lock, user_cache_dir
from .base import DatasetError

_logger = logging.getLogger(__name__)
_PARTIAL = ".partial-"


def default_data_dir() -> Path:
    """Return the folder for data that is used where none is given.

    It is `$RESNET_JAX_DATA`, else `resnet_jax` in the user's cache folder (`$XDG_CACHE_HOME`, else
    `~/.cache`).

    Raises:
        DatasetError: if the user has no known home folder.
    """
    try:
        if named := os.environ.get("RESNET_JAX_DATA"):
            return expand_user(named)
        return user_cache_dir() / "resnet_jax"
    except ValueError as error:
        raise DatasetError(f"{error}, or name a folder by --data-dir") from error


@contextmanager
def writing(data_dir: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from writing into it meanwhile.

    Leftovers of a writer that was killed are removed first.

    Args:
        data_dir: the folder.

    Raises:
        DatasetError: if the folder cannot be made or written to, or is full.
    """

    def waiting() -> None:
        _logger.warning("Waiting for another process that writes to %s", data_dir)

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with folder_lock(data_dir, waiting=waiting):
            for leftover in data_dir.glob(_PARTIAL + "*"):
                shutil.rmtree(leftover)
            yield
    except OSError as error:
        raise DatasetError(
            f"cannot write to the data folder {data_dir}: {error.strerror or error}; "
            "name a folder on a disk with room by --data-dir"
        ) from error


@contextmanager
def staged(data_dir: Path, target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Let a file or folder be written under another name, then put it in place at once.

    Use it inside `writing`, which removes what a killed writer left.

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
