"""Which part of a data set a file belongs to, and parts that the source lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..base import DatasetError
from ..sources.held_out import MissingTest, hold_out
from ..sources.part_names import part_of
from .base import Divided, Records, Selected


def by_part(root: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return files by the part that a word in their names, or in their folders', stands for.

    Files without such a word are for training, if no file has one.

    Args:
        root: the folder that they are in.
        files: the files.

    Raises:
        DatasetError: if some have such a word, but none is for training.
    """
    parts: dict[str | None, list[Path]] = {}
    for path in sorted(files):
        words = re.split(r"[-_./\\]", str(path.relative_to(root)))
        part = next((spelled for word in words if (spelled := part_of(word))), None)
        parts.setdefault(part, []).append(path)
    others = parts.pop(None, [])
    if not parts:
        return {"train": others}
    found = {part: paths for part, paths in parts.items() if part is not None}
    if "train" not in found:
        names = ", ".join(path.name for paths in found.values() for path in paths[:2])
        raise DatasetError(f"`data_dir` (={root}) has {names}, but no file for training")
    return found


def complete(
    divided: Divided, fraction: float, seed: int, missing_test: MissingTest = "split"
) -> Mapping[str, Records]:
    """Return all three parts; split missing ones off the training images, the test's first.

    Args:
        divided: the parts that there are.
        fraction: share of each class that a missing part gets.
        seed: seed of NumPy's legacy generator.
        missing_test: what becomes of a missing test part; `"valid"` makes it the same object as
            the validation part.

    Raises:
        DatasetError: if a class has too few images.
    """
    parts = dict(divided.parts)
    if missing_test == "valid" and "valid" in parts:
        parts.setdefault("test", parts["valid"])
    train, kept = parts["train"], np.arange(len(parts["train"]))
    for part in ("test", "valid"):
        if part not in parts:
            rest, held_out = hold_out(train.labels[kept], divided.class_names, fraction, seed, part)
            parts[part] = Selected(train, kept[held_out])
            kept = kept[rest]
    if len(kept) < len(train):
        parts["train"] = Selected(train, kept)
    return {part: parts[part] for part in ("train", "valid", "test")}
