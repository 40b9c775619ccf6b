"""The split of a folder's training images, before any of them is read."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from ...storage import printable_name
from ..base import DatasetError
from .folder_layout import Layout

MissingTest = Literal["split", "valid"]
"""What becomes of a missing test part: `"split"` splits it off the training images, `"valid"` takes
the validation part where there is one, so that all training images are trained on."""


class Files(NamedTuple):
    """The files of a part.

    Attributes:
        paths: the n files.
        labels: int32 `[n]`, their classes.
    """

    paths: list[str]
    labels: np.ndarray

    def take(self, positions: np.ndarray) -> Files:
        """Return the files at these positions."""
        return Files([self.paths[position] for position in positions], self.labels[positions])


def divide(
    layout: Layout, fraction: float, seed: int, missing_test: MissingTest = "split"
) -> dict[str, Files]:
    """Return the files of all three parts; split missing ones off the training images.

    Args:
        layout: the files of each class in each part that has a folder.
        fraction: share of each class that a missing part gets.
        seed: seed of NumPy's legacy generator.
        missing_test: what becomes of a missing test part; `"valid"` makes it the same object as
            the validation part.

    Raises:
        DatasetError: if a class has too few images.
    """
    parts = {}
    for part, classes in layout.files.items():
        examples = [
            (path, label)
            for label, name in enumerate(layout.class_names)
            for path in classes.get(name, ())
        ]
        labels = np.array([label for _, label in examples], np.int32)
        parts[part] = Files([path for path, _ in examples], labels)
    if missing_test == "valid" and "valid" in parts:
        parts.setdefault("test", parts["valid"])
    for part in ("test", "valid"):
        if part not in parts:
            train = parts["train"]
            rest, held_out = hold_out(train.labels, layout.class_names, fraction, seed, part)
            parts["train"], parts[part] = train.take(rest), train.take(held_out)
    return {part: parts[part] for part in ("train", "valid", "test")}


def hold_out(
    labels: np.ndarray, names: tuple[str, ...], fraction: float, seed: int, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those held out of every class, both ascending.

    Args:
        labels: int32 `[n]`.
        names: names of the classes.
        fraction: share of each class that is held out, at least one image.
        seed: seed of NumPy's legacy generator.
        part: what they are held out for, for the message.

    Raises:
        DatasetError: if a class has too few images.
    """
    generator = np.random.RandomState(seed)
    held_out = []
    for label, name in enumerate(names):
        positions = np.flatnonzero(labels == label)
        count = max(1, math.floor(fraction * len(positions)))
        if len(positions) <= count:
            raise DatasetError(
                f"the class {printable_name(name)} has too few images to split off some for "
                f"{part}; each class needs 3, or 2 beside a test/ or valid/ folder"
            )
        held_out.append(generator.permutation(positions)[:count])
    chosen = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
