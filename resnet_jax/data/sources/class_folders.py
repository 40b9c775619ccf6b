"""The class folders in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ...storage import printable, printable_name
from ..base import DatasetError
from ..class_names import is_utf_8, same_name
from ..image_formats import SUFFIXES
from ..image_search import BROKEN, HIDDEN, REPEATED, FoundFiles, find_files, is_system_name
from ..progress import late_progress

LOOSE_IMAGES = "images outside class folders"
"""The kind of the images that have no class."""

PassedOver = dict[str, list[Path]]
"""Paths that are no part of a data set, by kind; see `FoundImages`."""


class Entries(NamedTuple):
    """What a folder holds directly.

    Attributes:
        folders: the visible folders, sorted by name, linked ones included.
        passed_over: everything else.
    """

    folders: list[Path]
    passed_over: PassedOver


def list_folders(folder: Path) -> Entries:
    """List the visible folders in a folder, and what lies beside them.

    A link to a folder that holds this one is passed over.

    Args:
        folder: the folder.

    Raises:
        DatasetError: if it cannot be listed.
    """
    folders: list[Path] = []
    passed_over: PassedOver = {}
    try:
        for path in sorted(folder.iterdir()):
            kind = _kind_of(path, folder)
            if kind is None:
                folders.append(path)
            else:
                passed_over.setdefault(kind, []).append(path)
    except OSError as error:
        raise DatasetError(
            f"{printable(str(folder))} cannot be listed: {error.strerror}"
        ) from error
    return Entries(folders, passed_over)


def _kind_of(path: Path, folder: Path) -> str | None:
    """Return why an entry of a folder is passed over, or None for a visible folder."""
    if is_system_name(path.name):
        return HIDDEN
    if path.is_dir():
        leads_back = path.is_symlink() and folder.resolve().is_relative_to(path.resolve())
        return REPEATED if leads_back else None
    if path.is_symlink() and not path.exists():
        return BROKEN
    return LOOSE_IMAGES if path.suffix.lower() in SUFFIXES else "files outside class folders"


def find_classes(folders: list[Path]) -> dict[str, FoundFiles]:
    """Find the images of each class.

    Args:
        folders: the class folders, sorted.

    Returns:
        By the name of the class its files, and what was passed over.

    Raises:
        DatasetError: if two folders have the same name in different Unicode forms, or are the same
            folder, or a name is no UTF-8.
    """
    by_name: dict[str, Path] = {}
    by_place: dict[str, Path] = {}
    for path in folders:
        if not is_utf_8(path.name):
            raise DatasetError(
                f"the name of the class folder {printable(str(path))} is no UTF-8; rename it"
            )
        twin = by_name.setdefault(same_name(path.name), path)
        if twin is not path:
            raise DatasetError(
                f"{printable(str(path.parent))} has two class folders "
                f"{printable_name(path.name)}, in different Unicode forms: {twin.name!a} and "
                f"{path.name!a}; keep one"
            )
        twin = by_place.setdefault(os.path.realpath(path), path)
        if twin is not path:
            raise DatasetError(
                f"the class folders {printable(str(twin))} and {printable_name(path.name)} are "
                "the same folder; keep one"
            )
    with late_progress(f"Searching {len(folders):,} class folders") as advance:
        return {path.name: find_files(path, advance) for path in folders}


def merge(target: PassedOver, *others: Mapping[str, list[Path]]) -> None:
    """Add what was passed over in other places.

    Args:
        target: what is added to.
        others: what is added.
    """
    for other in others:
        for kind, paths in other.items():
            target.setdefault(kind, []).extend(paths)
