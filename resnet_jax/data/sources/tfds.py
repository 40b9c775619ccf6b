"""Data sets that TFDS prepared in array_record files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import expand_user, first_line, printable
from ..base import Arrays, DatasetError, Parts
from ..progress import Advance, progress_bar
from ..records.prepared import KIND, Prepared, missing_packages
from .decoded import Encoded, decode_into
from .layout import Layout
from .trees import FolderTree, Tree

_INFO = "dataset_info.json"
_SPLITS = ("train", "test")
COPY_VERSION = "1.0.0"
"""Version of the copies that are made of published files; none of TFDS's own has it."""

_AT_A_TIME = 256


@dataclass(frozen=True)
class Tfds(Layout):
    """Layout of a folder that TFDS prepared.

    Its order is restored from the feature `id`, such as `train_00042`.

    Attributes:
        name: the name of the data set in TFDS.
        label: name of the feature with the label.
        side: height and width of the images, in pixels.
    """

    name: str
    label: str = "label"
    side: int = 32

    @property
    def what(self) -> str:
        """The files, for messages."""
        return f"TFDS's {self.name}/<version> in array_record files"

    @property
    def problem(self) -> str | None:
        """Why TFDS's files cannot be read here, or None."""
        return missing_packages()

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the files of the first version in array_record format.

        Args:
            tree: the folder of the version, of the data set, or of all data sets.
        """
        for folder, kind in self._versions(tree):
            if kind == KIND:
                return tuple(tree.files(folder))
        return None

    def refusal(self, tree: Tree) -> str | None:
        """Return what to do with files of another format, or which packages are missing.

        Args:
            tree: the folder.
        """
        for folder, kind in self._versions(tree):
            place = printable(str(tree.path / folder))
            if kind == KIND:
                return f"{place} is passed over: {self.problem}" if self.problem else None
            return (
                f"{place} holds {kind} files of TFDS, which need TensorFlow; where that is "
                f"installed, convert them by `tfds convert_format --dataset_version_dir={place} "
                "--out_file_format=array_record`"
            )
        return None

    def _versions(self, tree: Tree) -> Iterator[tuple[str, str]]:
        """Yield the folders with a version of the data set, and the format of their files."""
        if not isinstance(tree, FolderTree):
            return
        inner = [inner for top in tree.folders() for inner in (top, *self._below(tree, top))]
        for folder in ("", *inner):
            if not tree.has(folder + _INFO):
                continue
            with contextlib.suppress(OSError, ValueError, AttributeError):
                info = json.loads((tree.path / folder / _INFO).read_text(encoding="utf-8"))
                if info.get("name") == self.name:
                    kinds = [info.get("fileFormat") or "tfrecord"]
                    kinds += info.get("alternativeFileFormats", ())  # converted in their place
                    yield folder, KIND if KIND in kinds else kinds[0]

    def _below(self, tree: Tree, folder: str) -> list[str]:
        return tree.folders(folder) if folder == f"{self.name}/" else []

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Decode the images and put them back into the order of the source.

        Args:
            tree: the folder.
            names: the files of a version.
            class_names: names in label order.

        Raises:
            DatasetError: if the copy is damaged or is not this data set, or array_record is not
                installed.
        """
        info = next(name for name in names if name.endswith(_INFO))
        folder = (tree.path / info).parent
        if problem := self.problem:
            raise DatasetError(
                f"TFDS's copy of {self.name} in {folder} cannot be read: {problem}; install them, "
                "or take another form of the data set"
            )
        try:
            prepared = Prepared(folder)
            sources = [prepared.records(split) for split in _SPLITS]
            with progress_bar(f"Reading {self.name}", sum(map(len, sources))) as advance:
                train, test = (
                    self._split(source, split, folder, advance)
                    for source, split in zip(sources, _SPLITS, strict=True)
                )
        except Exception as error:  # a damaged file may raise anything
            raise DatasetError(
                f"TFDS's copy of {self.name} in {folder} is damaged: {first_line(error)}. "
                "Remove that folder and start again"
            ) from error
        for part in (train, test):
            if part.labels.max(initial=0) >= len(class_names):
                raise DatasetError(f"{folder} holds labels outside 0 to {len(class_names) - 1}")
        return Parts(train, test)

    def _split(self, source: Any, split: str, folder: Path, advance: Advance) -> Arrays:
        images = np.zeros((len(source), self.side, self.side, 3), np.uint8)
        labels = np.full(len(source), -1, np.int32)

        def records() -> Iterator[Encoded]:
            for start in range(0, len(source), _AT_A_TIME):
                stop = min(start + _AT_A_TIME, len(source))
                for record in source.__getitems__(list(range(start, stop))):
                    name = bytes(record["id"]).decode()
                    prefix, _, digits = name.rpartition("_")
                    number = int(digits)
                    if prefix != split or labels[number] != -1:
                        raise ValueError(f"unexpected or repeated id {name!r}")
                    labels[number] = record[self.label]
                    yield Encoded(number, f"{name} in {folder}", bytes(record["image"]))

        decode_into(images, records(), fixed=True, advance=advance)
        return Arrays(images, labels)


def tfds_data_dir() -> Path | None:
    """Return the folder of TFDS's data sets: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    It is None if the user has no known home folder.
    """
    try:
        return expand_user(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    except ValueError:
        return None
