"""Files that a command writes: nothing that is there is replaced without a word."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_jax.run import RunFolder


def check_new(
    paths: Iterable[Path],
    *,
    option: str = "out",
    overwrite: bool = False,
    advice: str = "--overwrite replaces it",
) -> None:
    """Raise unless a command may write some files.

    Args:
        paths: all that it is going to write.
        option: the option that names them.
        overwrite: whether it may replace them.
        advice: what would work where a file exists.

    Raises:
        FileExistsError: if one exists and must not be replaced.
        ValueError: if one is a folder, or a run's own file, which is never replaced.
        OSError: if one cannot be written, as in a folder that may only be read.
    """
    for path in paths:
        with _named(path, option):
            run = _run_of(path)
            if run is not None:
                belongs = (
                    "belongs to a run"
                    if run.log_path.is_file() or run.checkpoints.folder.is_dir()
                    else f"may be a file of a run, which is never replaced: {run.config_path.name} "
                    "is there"
                )
                raise ValueError(f"`{option}` (={path}) {belongs}; name another place")
            if path.is_dir():
                raise ValueError(f"`{option}` (={path}) is a folder; name another place")
            if os.path.lexists(path) and not overwrite:
                raise FileExistsError(f"`{option}` (={path}) exists; {advice}")
            _try(path)


@contextmanager
def _named(path: Path, option: str) -> Iterator[None]:
    """Let an error of the system in the body say which option and path it is about."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # it says so already
            raise
        kind = type(error)
        raise kind(f"`{option}` (={path}) cannot be written: {error.strerror}") from error


def _try(path: Path) -> None:
    """Make a file, with such a name as a file has while it is written, and remove it again.

    Permissions do not tell: all of them may be there, and the file system takes no file.

    Raises:
        OSError: if it cannot be made.
    """
    folder = next(parent for parent in path.parents if os.path.lexists(parent))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", suffix=".tmp"):
        pass


def _run_of(path: Path) -> RunFolder | None:
    """Return the folder that keeps the file at a path for itself, if a run has begun there."""
    path = path.parent.resolve() / path.name
    for folder in path.parents:
        run = RunFolder(folder)
        files = (run.config_path, run.data_path, run.log_path, run.report_path, run.page_path)
        if path in files:
            if run.has_run:
                return run
        elif run.config_path.is_file() or run.log_path.is_file():
            places = (run.figure_path("figure").parent, run.checkpoints.folder)
            if any(path.is_relative_to(place) for place in places):
                return run
    return None
