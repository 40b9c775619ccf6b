"""The kinds of sources that images are streamed from, and the function that opens one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ...storage import expand_user, printable
from ..base import DatasetError
from ..sources.folder_layout import find_layout
from ..sources.held_out import MissingTest, divide
from ..sources.part_names import part_of
from .array_record import open_array_records
from .base import Divided, Records
from .files import FileRecords
from .parquet import open_parquet_files
from .parts import complete
from .tar import open_tar_files

Open = Callable[[Path, Sequence[Path]], Divided]


class RecordSet(NamedTuple):
    """A data set whose images are read when they are needed.

    Attributes:
        class_names: names in label order.
        train: the training images.
        valid: the validation images.
        test: the test images.
    """

    class_names: tuple[str, ...]
    train: Records
    valid: Records
    test: Records


def _refuse_tfrecord(root: Path, files: Sequence[Path]) -> Divided:
    """Say what to do with TFRecord files, in which no record can be found without the others.

    Raises:
        DatasetError: always.
    """
    raise DatasetError(
        f"`data_dir` (={printable(str(root))}) has TFRecord files, which can only be read from "
        "their beginning; where tensorflow is installed, convert them by `tfds convert_format "
        f"--dataset_version_dir={printable(str(root))} --out_path=DIR "
        "--out_file_format=array_record` and give DIR"
    )


PACKED_SOURCES: Mapping[str, Open] = MappingProxyType(
    {
        ".array_record": open_array_records,
        ".tfrecord": _refuse_tfrecord,
        ".parquet": open_parquet_files,
        ".tar": open_tar_files,
    }
)
"""By a piece of its files' names, how a source that packs images into files is opened.

A folder without such files is one of image files.
"""


def open_records(
    root: Path,
    *,
    fraction: float = 0.1,
    seed: int = 123,
    missing_test: MissingTest = "split",
) -> RecordSet:
    """Open a folder of image files, or of files that images are packed into.

    The kind is that of the first row of `PACKED_SOURCES` that the folder, its folder `data`, or a
    folder named as a part is (`train`, `val`, …) has files of; else `find_layout` reads it as a
    folder of image files. A missing `valid` or `test` is split off the training images, as
    `load_image_folder` does.

    Args:
        root: the folder.
        fraction: share of each class that a missing part gets; above 0 and below 1/2.
        seed: seed of the split, `0 <= seed < 2**32`.
        missing_test: `"valid"` takes the validation part, if there is one, for a missing `test`,
            as the same object.

    Raises:
        DatasetError: if it has another layout, or cannot be read.
        ValueError: if `root` is in the home folder of an unknown user.
    """
    root = expand_user(root)
    packed = _packed(root)
    if packed is not None:
        open_source, found = packed
        divided = open_source(root, found)
        return RecordSet(divided.class_names, **complete(divided, fraction, seed, missing_test))
    layout = find_layout(root)
    parts = divide(layout, fraction, seed, missing_test)
    try:
        records: dict[str, Records] = {
            part: FileRecords(root, files.paths, files.labels) for part, files in parts.items()
        }
    except OSError as error:
        raise DatasetError(f"`data_dir` (={printable(str(root))}): {error}") from error
    if parts["test"] is parts["valid"]:
        records["test"] = records["valid"]
    return RecordSet(layout.class_names, **records)


def holds_files_of_images(root: Path) -> bool:
    """Return whether the images of a folder are files of their own, and not packed into others.

    Args:
        root: the folder; it need not exist.

    Raises:
        ValueError: if it is in the home folder of an unknown user.
    """
    return _packed(expand_user(root)) is None


def _packed(root: Path) -> tuple[Open, list[Path]] | None:
    """Return how the files of a folder that images are packed into are opened; None without any."""
    files = list(_files(root))
    for kind, open_source in PACKED_SOURCES.items():
        found = [path for path in files if kind in path.suffixes or _sharded(path, kind)]
        if found:
            return open_source, found
    return None


def _files(root: Path) -> Iterator[Path]:
    """Yield the files in a folder, in its folder `data`, and in those named as parts are."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path.is_file():
            yield path
        elif path.is_dir() and (path.name == "data" or part_of(path.name)):
            yield from (inner for inner in sorted(path.iterdir()) if inner.is_file())


def _sharded(path: Path, kind: str) -> bool:
    """Return whether a file's suffix is followed by the number of its shard."""
    return any(suffix.startswith(f"{kind}-") for suffix in path.suffixes)
