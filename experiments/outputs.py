"""Files that a command writes: nothing that is there is replaced without a word."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    """
    for path in paths:
        if _is_of_a_run(path):
            raise ValueError(f"`{option}` (={path}) belongs to a run; name another place")
        if path.is_dir():
            raise ValueError(f"`{option}` (={path}) is a folder; name another place")
        if os.path.lexists(path) and not overwrite:
            raise FileExistsError(f"`{option}` (={path}) exists; {advice}")


def _is_of_a_run(path: Path) -> bool:
    """Return whether a path is that of a file that a run folder keeps for itself."""
    path = path.parent.resolve() / path.name
    for folder in path.parents:
        run = RunFolder(folder)
        files = (run.config_path, run.data_path, run.log_path, run.report_path, run.page_path)
        if path in files:
            if run.has_run:
                return True
        elif run.config_path.is_file() or run.log_path.is_file():
            places = (run.figure_path("figure").parent, run.checkpoints.folder)
            if any(path.is_relative_to(place) for place in places):
                return True
    return False
