"""Parquet files with encoded images, in Hugging Face's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...storage import printable
from ..base import DatasetError
from ..parquet_file import ParquetFile
from ..progress import progress_bar
from .base import Divided, Records
from .files import PackedRecords
from .index import Arrays, kept
from .parts import by_part

_IMAGES = ("image", "img")
_LABELS = ("label", "fine_label", "labels")
_BLOB = "images.bin"


def open_parquet_files(root: Path, files: Sequence[Path]) -> Divided:
    """Open Parquet files; their images are unpacked once into one file, which is kept.

    A Parquet file gives a whole row group at a time, megabytes for one image, which no free order
    can afford. The unpacked images take as much room as the Parquet files.

    Args:
        root: the folder.
        files: the Parquet files: an image column (`image` or `img`) of bytes, or of a struct with
            `bytes`, and an integer column `label`, `fine_label` or `labels`.

    Raises:
        DatasetError: if the package pyarrow is missing, a file has other columns, or the images
            cannot be unpacked.
    """
    parts: dict[str, Records] = {}
    names: tuple[str, ...] = ()
    for part, paths in by_part(root, files).items():
        file = ParquetFile(paths[0])
        image, label = (_column(file, usual, paths[0]) for usual in (_IMAGES, _LABELS))
        names = names or file.class_names(label)

        def build(
            folder: Path, paths: Sequence[Path] = paths, image: str = image, label: str = label
        ) -> Arrays:
            return _unpack(folder / _BLOB, paths, image, label)

        folder, arrays = kept(f"parquet-{label}", paths, build)
        parts[part] = PackedRecords(folder, [_BLOB], **arrays)
    count = int(max(records.labels.max() for records in parts.values())) + 1
    return Divided(names or tuple(map(str, range(count))), parts)


def _column(file: ParquetFile, usual: Sequence[str], path: Path) -> str:
    """Return the first of the usual columns that a file has.

    Raises:
        DatasetError: if it has none of them.
    """
    for name in usual:
        if name in file.columns:
            return name
    raise DatasetError(
        f"{printable(str(path))} has the columns {', '.join(file.columns)}; expected "
        f"{' or '.join(usual)} among them"
    )


def _unpack(blob: Path, paths: Sequence[Path], image: str, label: str) -> Arrays:
    """Write the images behind each other into a file; return where they are, and the labels."""
    sizes: list[int] = []
    labels: list[int] = []
    total = sum(ParquetFile(path).count for path in paths)
    with (
        progress_bar(f"Unpacking {total:,} images (only once)", total) as advance,
        blob.open("wb") as target,
    ):
        for path in paths:
            for data, number in ParquetFile(path).rows(image, label):
                target.write(data)
                sizes.append(len(data))
                labels.append(number)
                advance(1)
    size = np.array(sizes, np.int64)
    return {
        "shard": np.zeros(len(size), np.int32),
        "start": np.cumsum(size) - size,
        "size": size,
        "labels": np.array(labels, np.int32),
    }
