"""Hugging Face's copies: parquet files with one encoded image and its labels in each row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..base import Arrays, DatasetError, Parts
from ..parquet_file import ParquetFile
from ..progress import progress_bar
from .decoded import Encoded, decode_into
from .layout import Layout, places, where
from .part_names import part_of
from .trees import Tree, is_file

_MAGIC = b"PAR1"


@dataclass(frozen=True, kw_only=True)
class HubParquet(Layout):
    """Layout of `train-….parquet` and `test-….parquet`, or of `train/….parquet` and so on.

    Rows are in the order of the files' names.

    Attributes:
        image: column of the images, a structure with the field `bytes`.
        label: column of the labels.
        side: height and width of the images, in pixels.
    """

    image: str
    label: str
    side: int

    @property
    def what(self) -> str:
        """The files, for messages."""
        return "Hugging Face's train-….parquet and test-….parquet"

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the files of both parts.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            parts = self._parts(tree, place)
            if all(parts.values()):
                return (*parts["train"], *parts["test"])
        return None

    def refusal(self, tree: Tree) -> str | None:
        """Return which part is missing where the other is.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            parts = self._parts(tree, place)
            for part, other in (("train", "test"), ("test", "train")):
                if parts[part]:
                    return f"{where(tree, parts[part][0])} has no {other}-….parquet beside it"
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images.

        Args:
            tree: the folder or archive.
            names: the files of both parts.
            class_names: names in label order.

        Raises:
            DatasetError: if a file is damaged, has other columns or labels, or pyarrow is missing.
        """
        train, test = (
            self._part(tree, files, len(class_names)) for files in _by_part(names).values()
        )
        return Parts(train, test)

    def _parts(self, tree: Tree, place: str) -> dict[str, list[str]]:
        files = [*tree.files(place)]
        for folder in tree.folders(place):
            if part_of(PurePosixPath(folder).name):
                files += tree.files(folder)
        return _by_part([name for name in files if name.endswith(".parquet")])

    def _part(self, tree: Tree, names: Sequence[str], classes: int) -> Arrays:
        files = []
        for name, data in tree.read(names):
            place = where(tree, name)
            files.append((place, ParquetFile(data, place)))
        total = sum(file.count for _, file in files)
        images = np.empty((total, self.side, self.side, 3), np.uint8)
        labels: list[int] = []

        def rows() -> Iterator[Encoded]:
            for place, file in files:
                for row, (image, label) in enumerate(file.rows(self.image, self.label)):
                    yield Encoded(len(labels), f"row {row} of {place}", image)
                    labels.append(label)

        title = f"Reading {total:,} images of {PurePosixPath(names[0]).name}"
        with progress_bar(title, total) as advance:
            decode_into(images, rows(), fixed=True, advance=advance)
        found = np.array(labels, np.int64)
        if found.min(initial=0) < 0 or found.max(initial=0) >= classes:
            raise DatasetError(
                f"`{self.label}` of {where(tree, names[0])} holds labels outside 0 to {classes - 1}"
            )
        return Arrays(images, found.astype(np.int32))


def is_parquet(path: Path) -> bool:
    """Return whether a path is a parquet file, by its first bytes.

    Args:
        path: the path.
    """
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _by_part(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of each part, by their names."""
    return {part: [name for name in names if _part(name) == part] for part in ("train", "test")}


def _part(name: str) -> str | None:
    """Return the part that a file belongs to, by its name or else its folder's."""
    path = PurePosixPath(name)
    return part_of(re.split(r"[-_.]", path.name)[0]) or part_of(path.parent.name)
