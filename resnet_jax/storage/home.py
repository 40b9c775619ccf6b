"""Home folders: paths that begin with one, and where a user's caches are."""

from __future__ import annotations

import os
from pathlib import Path


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` or `~user` at its beginning replaced by that user's home folder.

    Args:
        path: the path; one that names an existing file as it is written stays as it is.

    Raises:
        ValueError: if no home folder is known for the user.

    >>> expand_user("~root").is_absolute(), expand_user("a/~").as_posix()
    (True, 'a/~')
    """
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError as error:
        if os.path.lexists(path):
            return path
        user = path.parts[0]
        raise ValueError(
            f"{path} cannot be used: no home folder is known for {user}; write the path out"
        ) from error


def user_cache_dir() -> Path:
    """Return the folder for a user's caches: `$XDG_CACHE_HOME`, else `~/.cache`.

    Raises:
        ValueError: if the variable is not set and no home folder is known.
    """
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return expand_user(cache)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise ValueError(
            "the user has no known home folder for caches; set HOME or XDG_CACHE_HOME"
        ) from error
