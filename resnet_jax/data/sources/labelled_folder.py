"""The images of one part of a folder by class, to evaluate a network that is trained already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from ...storage import expand_user, printable, printable_name
from ..base import DatasetError
from ..image_search import summarise
from .class_folders import LOOSE_IMAGES, find_classes, list_folders, merge
from .part_names import part_of

PartChoice = Literal["auto", "train", "valid", "test"]
"""The part of a folder to evaluate on; `"auto"` is `valid`, or `test` where there is none."""

_LAYOUT = "expected image files in DATA_DIR/<class>/ or in DATA_DIR/val/<class>/"


class LabelledImages(NamedTuple):
    """The images of a folder by class.

    Attributes:
        root: the folder whose folders are the classes.
        files: image files by the name of the class, which is sorted.
        passed_over: what is no part of it, in one line; empty if there is nothing.
    """

    root: Path
    files: Mapping[str, list[str]]
    passed_over: str


def find_labelled_images(root: Path, part: PartChoice = "auto") -> LabelledImages:
    """Find the image files of `root/<class>/`, or of a part, such as `root/val/<class>/`.

    Parts may have any usual spelling (`validation`, `dev`, …), and nothing of the other parts is
    read. Classes without an image are passed over.

    Args:
        root: the folder.
        part: the part to take.

    Raises:
        DatasetError: if there is no such folder, part, class or image, or if it is ambiguous.
        ValueError: if `root` is in the home folder of an unknown user.
    """
    root = expand_user(root)
    shown = printable(str(root))
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"`data_dir` (={shown}) {state}; {_LAYOUT}")
    folder = _choose(root, part)
    folders, passed_over = list_folders(folder)
    classes = find_classes(folders)
    merge(passed_over, *(found.passed_over for found in classes.values()))
    files = {name: found.paths for name, found in classes.items() if found.paths}
    for path in folders:
        if path.name not in files:
            passed_over.setdefault("folders without an image", []).append(path)
    if not files:
        loose = len(passed_over.get(LOOSE_IMAGES, ()))
        found = f"{loose:,} images outside class folders" if loose else "no image in class folders"
        raise DatasetError(f"`data_dir` (={printable(str(folder))}) has {found}; {_LAYOUT}")
    return LabelledImages(folder, files, summarise(passed_over))


def _choose(root: Path, part: PartChoice) -> Path:
    """Return the folder of a part, or the root if it holds the classes itself.

    Raises:
        DatasetError: if the part is missing, or there are two of it.
    """
    parts: dict[str, list[Path]] = {}
    for folder in list_folders(root).folders:
        spelled = part_of(folder.name)
        if spelled is not None:
            parts.setdefault(spelled, []).append(folder)
    shown = printable(str(root))
    if not parts and part == "auto":
        return root
    wanted = next((name for name in ("valid", "test") if name in parts), "valid")
    chosen = parts.get(wanted if part == "auto" else part, [])
    if len(chosen) > 1:
        both = " and ".join(f"{printable_name(folder.name)}/" for folder in chosen)
        raise DatasetError(f"`data_dir` (={shown}) has both {both}; name one of them")
    if not chosen:
        names = ", ".join(f"{folder.name}/" for found in parts.values() for folder in found)
        missing = "valid/ and no test/" if part == "auto" else f"{part}/"
        raise DatasetError(
            f"`data_dir` (={shown}) has {printable(names) or 'no parts'} but no {missing}; name "
            "the folder that holds the class folders"
        )
    return chosen[0]
