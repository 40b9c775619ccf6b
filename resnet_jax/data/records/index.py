"""What is found by reading a source once: kept in the data folder, under the state of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import one_line
from ..base import DatasetError
from ..data_folder import default_data_dir, staged, writing
from .base import digest

_FORMAT = 1
_ARRAYS = "arrays.npz"

Arrays = Mapping[str, np.ndarray]
Build = Callable[[Path], Arrays]
"""Reads the source; may write files of its own into the folder that it is given."""


def kept(kind: str, files: Sequence[Path], build: Build) -> tuple[Path, Arrays]:
    """Return what `build` makes of some files, made once and kept in the user's data folder.

    It is made again when a file's name, size or time of change differs. Several processes wait
    for the one that makes it.

    Args:
        kind: of the source, part of the key.
        files: the files that are read.
        build: reads them.

    Returns:
        The folder where it is kept, and its arrays.

    Raises:
        DatasetError: if it cannot be written.
    """
    data_dir = default_data_dir()
    states = [path.resolve().stat() for path in files]
    changed = np.array([(state.st_size, state.st_mtime_ns) for state in states], np.int64)
    names = [str(path.resolve()) for path in files]
    folder = data_dir / "index" / f"{kind}-{digest([str(_FORMAT), *names], changed)[:32]}"
    found = _read(folder)
    if found is None:
        with writing(data_dir):
            found = _read(folder)
            if found is None:
                with staged(data_dir, folder, replace=True) as partial:
                    partial.mkdir()
                    arrays: dict[str, Any] = dict(build(partial))
                    np.savez(partial / _ARRAYS, **arrays)
                found = _read(folder)
    if found is None:
        raise DatasetError(f"the index in {folder} cannot be read; remove it and start again")
    return folder, found


def _read(folder: Path) -> Arrays | None:
    """Return the arrays in a folder; None if there are none, or they are damaged."""
    try:
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError):
        return None


def explain(path: Path, error: Exception) -> DatasetError:
    """Return an error that says that a file of a source cannot be used.

    Args:
        path: the file.
        error: what was raised.
    """
    return DatasetError(f"{path} cannot be read: {one_line(error)}")
