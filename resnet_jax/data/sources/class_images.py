"""Image files in class folders whose names are known, such as `train/<class>/*.png`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ...storage import printable
from ..base import Arrays, DatasetError, Parts
from ..image_formats import SUFFIXES
from ..memory import check_memory
from ..progress import Advance, progress_bar
from .decoded import Encoded, decode_into
from .layout import Layout, places
from .part_names import part_of
from .trees import Tree


@dataclass(frozen=True, kw_only=True)
class ClassImages(Layout):
    """Layout of a folder for the training and one for the test, with a folder for each class.

    Images are in the order of the classes, and of the files' names in each.

    Attributes:
        classes: names of the class folders, in label order.
        side: height and width of the images, in pixels.
        fixed: whether the files must have that size already. Otherwise the shortest edge is
            resized to it, and the middle is cropped.
        test: the part that is the test: `test` or `valid`.
        inner: folder in each class folder with its images, ending in a slash; empty if they lie in
            the class folder itself.
    """

    classes: tuple[str, ...]
    side: int
    fixed: bool
    test: str = "test"
    inner: str = ""

    @property
    def what(self) -> str:
        """The files, for messages."""
        test = "val" if self.test == "valid" else self.test
        return f"image files in train/{self.classes[0]}/{self.inner} … {test}/{self.classes[-1]}/"

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the names of all images.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            parts = self._parts(tree, place)
            if parts is not None and not self._unknown(tree, parts):
                return tuple(
                    name
                    for folder in parts
                    for files in self._files(tree, folder)
                    for name in files
                )
        return None

    def refusal(self, tree: Tree) -> str | None:
        """Return which class folders are missing where the two parts are.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            parts = self._parts(tree, place)
            if parts is not None and (problem := self._unknown(tree, parts)):
                return problem
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images.

        Args:
            tree: the folder or archive.
            names: all images.
            class_names: unused; the folders are known.

        Raises:
            DatasetError: if images are missing, damaged or of another size.
        """
        labels = {name: label for label, name in enumerate(self.classes)}
        train: dict[str, int] = {}
        test: dict[str, int] = {}
        depth = -2 - self.inner.count("/")
        for name in names:
            pieces = name.split("/")
            part = train if part_of(pieces[depth - 1]) == "train" else test
            part[name] = labels[pieces[depth]]
        with progress_bar(f"Reading {len(names):,} images", len(names)) as advance:
            return Parts(
                read_labelled(tree, train, side=self.side, fixed=self.fixed, advance=advance),
                read_labelled(tree, test, side=self.side, fixed=self.fixed, advance=advance),
            )

    def _parts(self, tree: Tree, place: str) -> tuple[str, str] | None:
        """Return the folders of the training and the test in a folder."""
        spelled = {
            part_of(PurePosixPath(folder).name): folder for folder in reversed(tree.folders(place))
        }
        if "train" in spelled and self.test in spelled:
            return spelled["train"], spelled[self.test]
        return None

    def _unknown(self, tree: Tree, parts: Sequence[str]) -> str | None:
        """Return what is wrong with the class folders, or None."""
        for folder in parts:
            found = {PurePosixPath(name).name for name in tree.folders(folder)}
            for problem, names in (
                ("lacks the class folders", set(self.classes) - found),
                ("has folders that are no classes", found - set(self.classes)),
            ):
                if names:
                    place = printable(str(tree.path / folder))
                    return f"{place} {problem} {printable(', '.join(sorted(names)[:3]))}"
        return None

    def _files(self, tree: Tree, part: str) -> list[list[str]]:
        return [images_in(tree, f"{part}{name}/{self.inner}") for name in self.classes]


def images_in(tree: Tree, folder: str) -> list[str]:
    """Return the sorted names of the image files directly in a folder.

    Args:
        tree: the folder or archive.
        folder: name of the folder in it, ending in a slash.
    """
    suffixes = set(SUFFIXES)
    return [
        name for name in tree.files(folder) if f".{name.rpartition('.')[2].lower()}" in suffixes
    ]


def read_labelled(
    tree: Tree, labels: Mapping[str, int], *, side: int, fixed: bool, advance: Advance
) -> Arrays:
    """Read image files with their labels.

    Args:
        tree: the folder or archive.
        labels: label of each file, by its name, in the order of the result.
        side: height and width of the images, in pixels.
        fixed: as `decode_into` takes it.
        advance: is told now and then how many more are done.

    Raises:
        DatasetError: if images are missing, damaged or of another size, or do not fit into memory.
    """
    check_memory(len(labels), side, 3, advice="free some, or take a smaller data set")
    positions = {name: position for position, name in enumerate(labels)}
    images = np.empty((len(labels), side, side, 3), np.uint8)
    left = set(positions)

    def files() -> Iterator[Encoded]:
        for name, data in tree.read(positions):
            left.discard(name)
            yield Encoded(positions[name], name, data)

    decode_into(images, files(), fixed=fixed, advance=advance)
    if left:
        raise DatasetError(f"{tree.path} lacks {', '.join(sorted(left)[:3])}")
    return Arrays(images, np.array(list(labels.values()), np.int32))
