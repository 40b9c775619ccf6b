"""One Parquet file with an encoded image and a label in each row, as Hugging Face writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..storage import first_line, install_command, one_line, printable
from .base import DatasetError

_AT_A_TIME = 64


class ParquetFile:
    """A Parquet file.

    Args:
        source: its path, or its contents.
        name: what messages call it; None is its path.

    Attributes:
        columns: names of its columns.
        count: number of its rows.

    Raises:
        DatasetError: if it is damaged, or the package pyarrow is missing.
    """

    def __init__(self, source: Path | bytes, name: str | None = None) -> None:
        self._name = printable(str(source)) if name is None else name
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise DatasetError(
                f"{self._name} needs the package pyarrow: {install_command('parquet')} "
                f"({first_line(error)})"
            ) from error
        try:
            self._file: Any = pyarrow.parquet.ParquetFile(
                pyarrow.BufferReader(source) if isinstance(source, bytes) else source
            )
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)
        self.count: int = self._file.metadata.num_rows

    def class_names(self, label: str) -> tuple[str, ...]:
        """Return the names that Hugging Face's metadata give the labels; none if there are none.

        Args:
            label: name of the column of the labels.
        """
        metadata: Mapping[bytes, bytes] = self._file.schema_arrow.metadata or {}
        try:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            return tuple(map(str, features[label]["names"]))
        except (KeyError, TypeError, ValueError):
            return ()

    def rows(self, image: str, label: str) -> Iterator[tuple[bytes, int]]:
        """Yield the encoded image and the label of each row.

        Args:
            image: name of the column of the images: bytes, or a structure with the field `bytes`.
            label: name of the column of the labels.

        Raises:
            DatasetError: if a column is missing, a row has no image or no label, or the file is
                damaged.
        """
        missing = sorted({image, label} - set(self.columns))
        if missing:
            raise DatasetError(
                f"{self._name} has the columns {', '.join(self.columns)}; it lacks "
                f"{', '.join(missing)}"
            )
        row = 0
        for images, labels in self._pieces(image, label):
            for data, number in zip(images, labels, strict=True):
                if not isinstance(data, bytes) or not isinstance(number, int):
                    raise DatasetError(
                        f"row {row:,} of {self._name} has no bytes in {image}, or no number in "
                        f"{label}; files that only name images cannot be read"
                    )
                yield data, number
                row += 1

    def _pieces(self, image: str, label: str) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield the two columns of a few rows at a time."""
        try:
            for batch in self._file.iter_batches(_AT_A_TIME, columns=[image, label]):
                images = batch.column(image)
                if any(field.name == "bytes" for field in _fields(images.type)):
                    images = images.field("bytes")
                yield images.to_pylist(), batch.column(label).to_pylist()
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self._name} cannot be read: {one_line(error)}")


def _fields(kind: Any) -> list[Any]:
    """Return the fields of a column's type; none if it has none."""
    return [kind.field(position) for position in range(kind.num_fields)]
