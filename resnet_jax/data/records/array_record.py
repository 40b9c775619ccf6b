"""A TFDS data set in ArrayRecord files, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import first_line, printable
from ..base import DatasetError
from ..progress import progress_bar
from ..sources.part_names import part_of
from .base import Divided, digest
from .index import Arrays, explain, kept
from .prepared import Prepared, missing_packages

_AT_A_TIME = 64


class ArrayRecords:
    """The records of ArrayRecord files, each with an image and a label.

    Args:
        source: the records, by position, as `Prepared.records` returns them.
        paths: their files.
        image: name of the feature with the image.
        labels: int32 `[n]`.
    """

    def __init__(
        self, source: Any, paths: Sequence[Path], *, image: str, labels: np.ndarray
    ) -> None:
        self.labels = labels
        self._source, self._image = source, image
        self._shown = str(paths[0].parent)
        sizes = np.array([path.stat().st_size for path in paths], np.int64)
        self.fingerprint = digest([path.name for path in paths], sizes, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the contents of an image file; see `Records`."""
        try:
            return bytes(self._source[index][self._image])
        except Exception as error:  # a damaged file may raise anything
            raise OSError(f"{self.name(index)} cannot be read: {first_line(error)}") from error

    def name(self, index: int) -> str:
        """Return the folder and the number of a record; see `Records`."""
        return f"{self._shown}, record {index:,}"


def open_array_records(root: Path, files: Sequence[Path]) -> Divided:
    """Open a TFDS data set.

    The labels are inside the records, so that all of these are read once; the labels are kept.

    Args:
        root: the folder of a version, with `dataset_info.json` and `features.json`.
        files: its ArrayRecord files.

    Raises:
        DatasetError: if it has no image or no label, or cannot be read.
    """
    if problem := missing_packages():
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has ArrayRecord files of TFDS, and {problem}; "
            "install them, or use a folder of images"
        )
    del files  # TFDS knows which they are
    try:
        prepared = Prepared(root)
    except Exception as error:  # likewise
        raise explain(root, error) from error
    image = _only(prepared.images, ("image", "img"), "an image", root)
    label = _only(list(prepared.labels), ("label", "fine_label"), "a class", root)
    records = {}
    for part, splits in _by_part(root, prepared).items():
        paths = [path for split in splits for path in prepared.files[split]]
        try:
            source = prepared.records(*splits)

            def build(folder: Path, source: Any = source) -> Arrays:
                del folder
                return {"labels": _read_labels(source, label, root)}

            labels = kept(f"array_record-{label}", paths, build)[1]["labels"]
            records[part] = ArrayRecords(source, paths, image=image, labels=labels)
        except DatasetError:
            raise
        except Exception as error:  # likewise
            raise explain(root, error) from error
    return Divided(prepared.labels[label], records)


def _by_part(root: Path, prepared: Prepared) -> dict[str, list[str]]:
    """Return the splits of each part; those of unknown names are for training if all are."""
    parts: dict[str, list[str]] = {}
    for split in prepared.files:
        if part := part_of(split):
            parts.setdefault(part, []).append(split)
    if not parts:
        return {"train": list(prepared.files)}
    if "train" not in parts:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has the splits {', '.join(prepared.files)}, but "
            "none for training"
        )
    return parts


def _read_labels(source: Any, label: str, root: Path) -> np.ndarray:
    labels = np.empty(len(source), np.int32)
    with progress_bar(f"Reading labels in {root} (only once)", len(labels)) as advance:
        for start in range(0, len(labels), _AT_A_TIME):
            rows = range(start, min(start + _AT_A_TIME, len(labels)))
            for row, record in zip(rows, source.__getitems__(list(rows)), strict=True):
                labels[row] = record[label]
            advance(len(rows))
    return labels


def _only(found: Sequence[str], usual: Sequence[str], what: str, root: Path) -> str:
    """Return the name of the feature of a kind; of several, the one that is named as usual."""
    chosen = next((name for name in usual if name in found), None)
    if chosen is None and len(found) != 1:
        raise DatasetError(
            f"`data_dir` (={printable(str(root))}) has {len(found) or 'no'} features with {what}; "
            f"expected one, or one that is named {' or '.join(usual)}"
        )
    return chosen or found[0]
