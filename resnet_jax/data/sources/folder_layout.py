"""How a folder of images is divided into parts and classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ...storage import printable, printable_name
from ..base import DatasetError
from ..class_names import same_name
from ..image_formats import SUFFIXES
from ..image_search import UNREADABLE, FoundFiles, find_files, summarise
from .class_folders import (
    LOOSE_IMAGES,
    PassedOver,
    find_classes,
    list_folders,
    merge,
)
from .part_names import PARTS, part_of

_LAYOUT = "expected image files in DATA_DIR/<class>/ or in DATA_DIR/train/<class>/"
_SHOWN = 5


class Layout(NamedTuple):
    """The files of a data set.

    Attributes:
        class_names: sorted names of the classes, as the training part spells them.
        files: image files of each part that has a folder, `train` always, by class.
        passed_over: everything else in the folder, by kind; see `FoundImages`.
    """

    class_names: tuple[str, ...]
    files: Mapping[str, Mapping[str, list[str]]]
    passed_over: PassedOver


def find_layout(root: Path) -> Layout:
    """Find the parts, the classes and their files.

    Args:
        root: `root/<class>/` or `root/<part>/<class>/`; see `PARTS` for the names of parts.

    Raises:
        DatasetError: if it has another layout, or more than one meaning; the message says what
            would work.
    """
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"`data_dir` (={printable(str(root))}) {state}; {_LAYOUT}")
    folders, passed_over = list_folders(root)
    parts = _find_parts(root, folders)
    classes: dict[str, dict[str, FoundFiles]] = {}
    if parts:
        merge(
            passed_over, _check_rest(root, parts, [f for f in folders if part_of(f.name) is None])
        )
        for part, folder in parts.items():
            entries = list_folders(folder)
            merge(passed_over, entries.passed_over)
            classes[part] = find_classes(entries.folders)
    else:
        _refuse_parts_of_other_names(root, folders)
        parts, classes = {"train": root}, {"train": find_classes(folders)}
    for found in classes.values():
        merge(passed_over, *(images.passed_over for images in found.values()))
    return Layout(tuple(classes["train"]), _check_classes(root, parts, classes), passed_over)


def _find_parts(root: Path, folders: list[Path]) -> dict[str, Path]:
    """Return the folders that are parts, `train` among them, or nothing if there are none."""
    spelled: dict[str, list[Path]] = {part: [] for part in PARTS}
    for folder in folders:
        part = part_of(folder.name)
        if part is not None:
            spelled[part].append(folder)
    for part, found in spelled.items():
        if len(found) > 1:
            raise DatasetError(
                f"`data_dir` (={printable(str(root))}) has both {_listed(found, ' and ')}, which "
                f"both stand for {part}/; keep one. {_if_classes(root)}"
            )
    parts = {part: found[0] for part, found in spelled.items() if found}
    if parts and "train" not in parts:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has {_listed(parts.values())} but no train/; "
            f"{_LAYOUT}. {_if_classes(root)}"
        )
    return parts


def _check_rest(root: Path, parts: Mapping[str, Path], others: list[Path]) -> PassedOver:
    """Return the folders beside the parts that hold no image.

    Raises:
        DatasetError: if one of them holds images.
    """
    passed_over: PassedOver = {}
    unknown = []
    for folder in others:
        found = find_files(folder)
        if found.paths or UNREADABLE in found.passed_over:
            unknown.append(folder)
        else:
            passed_over.setdefault("folders without an image", []).append(folder)
    if unknown:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has {_listed(unknown)} beside "
            f"{_listed(parts.values())}; rename a part to train/, valid/ or test/, and move "
            f"other folders elsewhere. {_if_classes(root)}"
        )
    return passed_over


def _refuse_parts_of_other_names(root: Path, folders: list[Path]) -> None:
    """Raise if what should be classes are divided alike, as parts are into classes.

    Raises:
        DatasetError: naming the folders.
    """
    inner: list[set[str]] = []
    for folder in folders:
        entries = list_folders(folder)
        parts = {part: path for path in entries.folders if (part := part_of(path.name))}
        if len(parts) > 1:
            raise DatasetError(
                f"the class folder {printable(str(folder))} is divided into parts itself, "
                f"{_listed(parts.values())}; move them up, so that the images are in "
                "DATA_DIR/<part>/<class>/"
            )
        if LOOSE_IMAGES in entries.passed_over:
            return
        inner.append({same_name(path.name) for path in entries.folders})
    if len(inner) < 2:
        return
    largest = max(inner, key=len)
    if all(len(names) > 1 and names <= largest for names in inner):
        raise DatasetError(
            f"{_listed(folders)} in `data_dir` (={printable(str(root))}) all hold the same folders "
            f"{_listed(map(Path, sorted(largest)))}, so they look like parts of a data set and "
            f"not like classes; rename them to train/, valid/ and test/. {_if_classes(root)}"
        )


def _check_classes(
    root: Path, parts: Mapping[str, Path], classes: Mapping[str, Mapping[str, FoundFiles]]
) -> dict[str, dict[str, list[str]]]:
    """Return the files of each class, in the training part's spelling of its name.

    Raises:
        DatasetError: if a class has no image to train on.
    """
    train, folder = classes["train"], printable(str(parts["train"]))
    empty = [name for name, found in train.items() if not found.paths]
    if empty:
        passed = summarise(train[empty[0]].passed_over)
        raise DatasetError(
            f"the class {printable_name(empty[0])} has no image in "
            f"{folder}/{printable_name(empty[0])} ({', '.join(SUFFIXES)})"
            f"{passed and '; '}{passed}; {len(empty)} of {len(train)} classes are empty"
        )
    if len(train) < 2:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has {len(train) or 'no'} class "
            f"folder{'s' * (not train)} in {folder}; at least 2 are needed: {_LAYOUT}"
        )
    spelled = {same_name(name): name for name in train}
    files = {}
    for part, found in classes.items():
        unknown = [name for name in found if same_name(name) not in spelled]
        if unknown:
            raise DatasetError(
                f"{printable(str(parts[part]))} has the class {printable_name(unknown[0])}, which "
                f"{folder} lacks; a class needs images to train on"
            )
        files[part] = {spelled[same_name(name)]: images.paths for name, images in found.items()}
        if not any(files[part].values()):
            raise DatasetError(
                f"{printable(str(parts[part]))} has no image in class folders; remove it to "
                "split its part off the training images"
            )
    return files


def _listed(folders: Iterable[Path], separator: str = ", ") -> str:
    """Return the names of some folders, each with a slash."""
    names = [f"{printable_name(folder.name)}/" for folder in folders]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _if_classes(root: Path) -> str:
    """Return the way on for classes that are named as parts are."""
    return f"If they are classes, move all class folders into {printable(str(root))}/train/"
