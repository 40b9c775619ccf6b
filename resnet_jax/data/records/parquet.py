"""Parquet files with encoded images, in Hugging Face's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import printable
from ..base import DatasetError
from ..progress import progress_bar
from .base import Divided, Records
from .files import PackedRecords
from .index import Arrays, explain, kept
from .parts import by_part

_IMAGES = ("image", "img")
_LABELS = ("label", "fine_label", "labels")
_BLOB = "images.bin"
_AT_A_TIME = 64


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
        file = _open(paths[0])
        image, label = (_column(file, usual, paths[0]) for usual in (_IMAGES, _LABELS))
        names = names or _class_names(file, label)

        def build(
            folder: Path, paths: Sequence[Path] = paths, image: str = image, label: str = label
        ) -> Arrays:
            return _unpack(folder / _BLOB, paths, image, label)

        folder, arrays = kept(f"parquet-{label}", paths, build)
        parts[part] = PackedRecords(folder, [_BLOB], **arrays)
    count = int(max(records.labels.max() for records in parts.values())) + 1
    return Divided(names or tuple(map(str, range(count))), parts)


def _open(path: Path) -> Any:
    """Return an open Parquet file.

    Raises:
        DatasetError: if it is damaged, or the package that reads it is missing.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DatasetError(
            "Parquet files need the package pyarrow; run: pip install 'resnet-jax[parquet]'"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise explain(path, error) from error


def _column(file: Any, usual: Sequence[str], path: Path) -> str:
    """Return the first of the usual columns that a file has.

    Raises:
        DatasetError: if it has none of them.
    """
    columns = file.schema_arrow.names
    for name in usual:
        if name in columns:
            return name
    raise DatasetError(
        f"{printable(str(path))} has the columns {', '.join(columns)}; expected "
        f"{' or '.join(usual)} among them"
    )


def _class_names(file: Any, label: str) -> tuple[str, ...]:
    """Return the names that Hugging Face's metadata give the labels; empty if there are none."""
    metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _unpack(blob: Path, paths: Sequence[Path], image: str, label: str) -> Arrays:
    """Write the images behind each other into a file; return where they are, and the labels."""
    sizes: list[int] = []
    labels: list[int] = []
    total = sum(_open(path).metadata.num_rows for path in paths)
    with (
        progress_bar(f"Unpacking {total:,} images (only once)", total) as advance,
        blob.open("wb") as target,
    ):
        for path in paths:
            for data, number in _rows(path, image, label):
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


def _rows(path: Path, image: str, label: str) -> Iterator[tuple[bytes, int]]:
    """Yield the encoded image and the label of each row.

    Raises:
        DatasetError: if a row has none, or the file is damaged.
    """
    file, row = _open(path), 0
    try:
        for batch in file.iter_batches(batch_size=_AT_A_TIME, columns=[image, label]):
            columns = batch.to_pydict()
            for picture, number in zip(columns[image], columns[label], strict=True):
                data = picture.get("bytes") if isinstance(picture, dict) else picture
                if not isinstance(data, bytes) or not isinstance(number, int):
                    raise DatasetError(
                        f"row {row:,} of {printable(str(path))} has no bytes in {image}, or no "
                        f"number in {label}; files that only name images cannot be read"
                    )
                yield data, number
                row += 1
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise explain(path, error) from error
