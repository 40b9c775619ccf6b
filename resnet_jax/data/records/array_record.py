"""A TFDS data set in ArrayRecord files, as it is, without TFDS and TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import JsonError, printable, read_json
from ..base import DatasetError
from ..progress import progress_bar
from .base import Divided, digest
from .examples import image_and_label
from .index import Arrays, explain, kept
from .parts import by_part

_AT_A_TIME = 64


class ArrayRecords:
    """The records of ArrayRecord files, each an `Example` with an image and a label.

    Args:
        paths: the files.
        image: name of the feature with the image.
        label: name of the feature with the label.
        labels: int32 `[n]`.
    """

    def __init__(
        self, paths: Sequence[Path], *, image: str, label: str, labels: np.ndarray
    ) -> None:
        self.labels = labels
        self._features = image, label
        self._source = _open(paths)
        self._shown = str(paths[0].parent)
        sizes = np.array([path.stat().st_size for path in paths], np.int64)
        self.fingerprint = digest([path.name for path in paths], sizes, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the contents of an image file; see `Records`."""
        try:
            return image_and_label(self._source[index], *self._features)[0]
        except (ValueError, RuntimeError) as error:
            raise OSError(f"{self.name(index)} cannot be read: {error}") from error

    def name(self, index: int) -> str:
        """Return the folder and the number of a record; see `Records`."""
        return f"{self._shown}, record {index:,}"


def open_array_records(root: Path, files: Sequence[Path]) -> Divided:
    """Open a TFDS data set.

    The labels are inside the records, so that all of these are read once; the labels are kept.

    Args:
        root: the folder with `features.json`.
        files: its ArrayRecord files.

    Raises:
        DatasetError: if it has no image or no label, or cannot be read.
    """
    features = _features(root / "features.json")
    image = _only(features, "image", root)
    label = _only(features, "classLabel", root)
    records = {}
    for part, paths in by_part(root, files).items():

        def build(folder: Path, paths: Sequence[Path] = paths) -> Arrays:
            del folder
            return {"labels": _read_labels(paths, image, label)}

        labels = kept(f"array_record-{label}", paths, build)[1]["labels"]
        records[part] = ArrayRecords(paths, image=image, label=label, labels=labels)
    return Divided(_class_names(root, features[label], label), records)


def _open(paths: Sequence[Path]) -> Any:
    """Return the records of files, by position.

    Raises:
        DatasetError: if the package that reads them is missing, or a file is damaged.
    """
    try:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError as error:
        raise DatasetError(
            "ArrayRecord files need the package array-record; install it, or use a folder of images"
        ) from error
    try:
        return ArrayRecordDataSource([str(path) for path in paths])
    except Exception as error:  # a damaged file may raise anything
        raise explain(paths[0].parent, error) from error


def _read_labels(paths: Sequence[Path], image: str, label: str) -> np.ndarray:
    source = _open(paths)
    labels = np.empty(len(source), np.int32)
    with progress_bar(f"Reading labels in {paths[0].parent} (only once)", len(labels)) as advance:
        for start in range(0, len(labels), _AT_A_TIME):
            rows = range(start, min(start + _AT_A_TIME, len(labels)))
            try:
                for row, record in zip(rows, source.__getitems__(list(rows)), strict=True):
                    labels[row] = image_and_label(record, image, label)[1]
            except (ValueError, RuntimeError) as error:
                raise explain(paths[0].parent, error) from error
            advance(len(rows))
    return labels


def _features(path: Path) -> dict[str, dict[str, Any]]:
    """Return what TFDS says of each feature."""
    try:
        features = read_json(path)["featuresDict"]["features"]
        return {str(name): dict(feature) for name, feature in features.items()}
    except (OSError, JsonError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetError(
            f"{printable(str(path))} does not describe a TFDS data set of images: {error!r}"
        ) from error


def _only(features: dict[str, dict[str, Any]], kind: str, root: Path) -> str:
    """Return the name of the feature of a kind; of several, the one that is named so."""
    found = [name for name, feature in features.items() if kind in feature]
    usual = {"image": ("image", "img"), "classLabel": ("label", "fine_label")}[kind]
    chosen = next((name for name in usual if name in found), None)
    if chosen is None and len(found) != 1:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has {len(found) or 'no'} features of the kind "
            f"{kind}; expected one, or one that is named {' or '.join(usual)}"
        )
    return chosen or found[0]


def _class_names(root: Path, feature: dict[str, Any], label: str) -> tuple[str, ...]:
    """Return the names of the classes; their numbers where there are no names."""
    path = root / f"{label}.labels.txt"
    if path.is_file():
        return tuple(path.read_text(encoding="utf-8").splitlines())
    return tuple(map(str, range(int(feature["classLabel"]["numClasses"]))))
