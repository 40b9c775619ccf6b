"""Hugging Face's copies: parquet files with one encoded image and its labels in each row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...storage import first_line, one_line
from ..base import Arrays, DatasetError, Parts
from ..progress import Advance, progress_bar
from .decoded import Encoded, decode_into
from .layout import Layout, places, where
from .part_names import part_of
from .trees import Tree, is_file

_MAGIC = b"PAR1"
_ROWS = 1024


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
        parts = {
            part: [name for name in names if _part(name) == part] for part in ("train", "test")
        }
        train, test = (self._part(tree, files, len(class_names)) for files in parts.values())
        return Parts(train, test)

    def _parts(self, tree: Tree, place: str) -> dict[str, list[str]]:
        files = [*tree.files(place)]
        for folder in tree.folders(place):
            if part_of(PurePosixPath(folder).name):
                files += tree.files(folder)
        parquet = [name for name in files if name.endswith(".parquet")]
        return {
            part: [name for name in parquet if _part(name) == part] for part in ("train", "test")
        }

    def _part(self, tree: Tree, names: Sequence[str], classes: int) -> Arrays:
        tables = []
        for name, data in tree.read(names):
            tables.append((name, _open(data, where(tree, name))))
        total = sum(table.metadata.num_rows for _, table in tables)
        images = np.empty((total, self.side, self.side, 3), np.uint8)
        labels: list[int] = []
        label = f"Reading {total:,} images of {PurePosixPath(names[0]).name}"
        with progress_bar(label, total) as advance:
            self._decode(tree, tables, images, labels, advance)
        found = np.array(labels, np.int64)
        if found.min(initial=0) < 0 or found.max(initial=0) >= classes:
            raise DatasetError(
                f"`{self.label}` of {where(tree, names[0])} holds labels outside 0 to {classes - 1}"
            )
        return Arrays(images, found.astype(np.int32))

    def _decode(
        self,
        tree: Tree,
        tables: Sequence[tuple[str, Any]],
        images: np.ndarray,
        labels: list[int],
        advance: Advance,
    ) -> None:
        def rows() -> Iterator[Encoded]:
            for name, table in tables:
                place = where(tree, name)
                for row, (image, label) in enumerate(self._rows(table, place)):
                    yield Encoded(len(labels), f"row {row} of {place}", image)
                    labels.append(label)

        decode_into(images, rows(), fixed=True, advance=advance)

    def _rows(self, table: Any, place: str) -> Iterator[tuple[bytes, int]]:
        """Yield the encoded image and the label of each row."""
        missing = {self.image, self.label} - set(table.schema_arrow.names)
        if missing:
            columns = ", ".join(table.schema_arrow.names)
            raise DatasetError(
                f"{place} has the columns {columns}; it lacks {', '.join(sorted(missing))}"
            )
        try:
            for batch in table.iter_batches(_ROWS, columns=[self.image, self.label]):
                images = batch.column(self.image).field("bytes").to_pylist()
                labels = batch.column(self.label).to_pylist()
                for image, label in zip(images, labels, strict=True):
                    yield memoryview(image).tobytes(), int(label)
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise DatasetError(f"cannot read {place}: {one_line(error)}") from error


def is_parquet(path: Path) -> bool:
    """Return whether a path is a parquet file, by its first bytes.

    Args:
        path: the path.
    """
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _part(name: str) -> str | None:
    """Return the part that a file belongs to, by its name or else its folder's."""
    path = PurePosixPath(name)
    return part_of(re.split(r"[-_.]", path.name)[0]) or part_of(path.parent.name)


def _open(data: bytes, place: str) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DatasetError(
            f"{place} needs the package pyarrow: pip install 'resnet-jax[parquet]' "
            f"({first_line(error)})"
        ) from error
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot read {place}: {one_line(error)}") from error
