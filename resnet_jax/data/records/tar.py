"""Tar files in WebDataset's layout: `key.jpg` beside `key.cls` or `key.json`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...storage import printable
from ..base import DatasetError
from ..image_formats import SUFFIXES
from ..progress import progress_bar
from .base import Divided
from .files import PackedRecords
from .index import Arrays, explain, kept
from .parts import by_part

_LABELS = (".cls", ".json")
_NAMES = ("classes.txt", "classnames.txt")


def open_tar_files(root: Path, files: Sequence[Path]) -> Divided:
    """Open tar files, which are read through once for an index that is kept.

    Afterwards each image is read where it lies, so that the order is free; local disks are good
    at that. A label is a number, in `key.cls` or under `label`, `cls` or `class` in `key.json`.

    Args:
        root: the folder; its `classes.txt` has the names of the classes, one a line. Without it
            they are called by their numbers.
        files: the tar files, not compressed.

    Raises:
        DatasetError: if a file cannot be read, or an image has no label.
    """
    parts = {}
    for part, paths in by_part(root, files).items():

        def build(folder: Path, paths: Sequence[Path] = paths) -> Arrays:
            del folder
            return _index(paths)

        arrays = kept("tar", paths, build)[1]
        names = [str(path.relative_to(root)) for path in paths]
        parts[part] = PackedRecords(root, names, **arrays)
    return Divided(_class_names(root, int(max(p.labels.max() for p in parts.values())) + 1), parts)


def _index(paths: Sequence[Path]) -> Arrays:
    """Return where each image lies, and the labels, in the order of the files."""
    rows: list[tuple[int, int, int, int]] = []
    with progress_bar(f"Indexing {len(paths)} tar files (only once)", len(paths)) as advance:
        for number, path in enumerate(paths):
            try:
                rows += ((number, *row) for row in _examples(path))
            except (OSError, tarfile.TarError, ValueError) as error:
                raise explain(path, error) from error
            advance(1)
    if not rows:
        raise DatasetError(
            f"{printable(str(paths[0].parent))} has tar files without images; expected key.jpg "
            "beside key.cls or key.json"
        )
    shard, start, size, labels = np.array(rows, np.int64).T
    return {
        "shard": shard.astype(np.int32),
        "start": start,
        "size": size,
        "labels": labels.astype(np.int32),
    }


def _examples(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield where each image of a file begins, its size, and its label.

    Raises:
        ValueError: if an image has no label.
    """
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            if not member.isfile() or name.startswith("."):
                continue
            # WebDataset's rule: the key ends at the first point of the name.
            stem, point, suffix = name.partition(".")
            key, suffix = f"{folder}/{stem}", f"{point}{suffix}".lower()
            if suffix in SUFFIXES:
                images[key] = (member.offset_data, member.size)
            elif suffix in _LABELS and (file := tar.extractfile(member)) is not None:
                label = _label(file.read(), suffix)
                if label is not None:
                    labels[key] = label
            # Otherwise the file keeps every member that it has seen.
            tar.members = []  # type: ignore[attr-defined]
    for key, place in images.items():
        if key not in labels:
            raise ValueError(f"the image {printable(key)} has no label in .cls or .json")
        yield *place, labels[key]


def _label(data: bytes, suffix: str) -> int | None:
    """Return the label that a member says; None if it says none.

    Raises:
        ValueError: if it is no number.
    """
    if suffix == ".cls":
        return int(data)
    values = json.loads(data)
    found = (
        (values.get(name) for name in ("label", "cls", "class")) if isinstance(values, dict) else ()
    )
    return next((int(value) for value in found if isinstance(value, int | str)), None)


def _class_names(root: Path, count: int) -> tuple[str, ...]:
    for name in _NAMES:
        path = root / name
        if path.is_file():
            names = tuple(path.read_text(encoding="utf-8").split("\n"))
            names = names[:-1] if names and not names[-1] else names
            if len(names) < count:
                raise DatasetError(
                    f"{printable(str(path))} names {len(names)} classes, and there are labels up "
                    f"to {count - 1}"
                )
            return names
    return tuple(map(str, range(count)))
