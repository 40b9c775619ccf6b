"""CIFAR's archives: which there are, whether a file is one, and the arrays inside."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base import Arrays, DatasetError
from .unpickle import load_arrays

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE

# Bytes of one tar member → pixels [n, 3072] and labels [n].
_Decoder = Callable[[bytes], tuple[np.ndarray, np.ndarray]]


def _binary_records(label_bytes: int) -> _Decoder:
    """Records of label bytes (the last one is the class), then red, green and blue planes."""

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        record = label_bytes + _PIXELS
        if len(data) % record:
            raise ValueError(f"its {len(data)} bytes are no multiple of a {record}-byte record")
        rows = np.frombuffer(data, np.uint8).reshape(-1, record)
        return rows[:, label_bytes:], rows[:, label_bytes - 1]

    return decode


def _pickled_batch(labels_key: str) -> _Decoder:
    """A pickled dictionary with the pixels under `data` and the labels under `labels_key`."""

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        batch = load_arrays(io.BytesIO(data))
        pixels, labels = batch["data"], np.asarray(batch[labels_key])
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError("its `data` is no table of bytes")
        if labels.dtype.kind != "i" or labels.ndim != 1:
            raise ValueError(f"its `{labels_key}` are no list of integers")
        return pixels, labels

    return decode


@dataclasses.dataclass(frozen=True)
class Archive:
    """One form in which a data set is distributed.

    Attributes:
        filename: its published name.
        md5: its published checksum.
        train: members with the training images, in source order.
        test: member with the test images.
        decode: reads one member.
    """

    filename: str
    md5: str
    train: tuple[str, ...]
    test: str
    decode: _Decoder


def _archive(filename: str, md5: str, folder: str, suffix: str, decode: _Decoder) -> Archive:
    if filename.startswith("cifar-100"):
        train, test = ["train"], "test"
    else:
        train, test = [f"data_batch_{i}" for i in range(1, 6)], "test_batch"
    members = tuple(f"{folder}/{name}{suffix}" for name in train)
    return Archive(filename, md5, members, f"{folder}/{test}{suffix}", decode)


# Names and checksums are published at https://www.cs.toronto.edu/~kriz/cifar.html.
ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "cifar10": (
        _archive(
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            "cifar-10-batches-bin",
            ".bin",
            _binary_records(1),
        ),
        _archive(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "cifar-10-batches-py",
            "",
            _pickled_batch("labels"),
        ),
    ),
    "cifar100": (
        _archive(
            "cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            "cifar-100-binary",
            ".bin",
            _binary_records(2),
        ),
        _archive(
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            "cifar-100-python",
            "",
            _pickled_batch("fine_labels"),
        ),
    ),
}
"""The archives of each data set; the first is the one that is downloaded."""


def identify(path: Path, name: str) -> Archive:
    """Finds out by its checksum which archive of a data set a file is; its own name is free.

    Args:
        path: the file.
        name: the data set.

    Raises:
        DatasetError: if the file cannot be read or is none of the data set's archives.
    """
    with _opened(path) as file:
        return _identify(file, path, name)


def read_archive(path: Path, name: str, *, classes: int) -> tuple[Arrays, Arrays]:
    """Reads the images of an archive whose checksum is right.

    Members are picked from the stream by their full names; nothing is unpacked to disk.

    Args:
        path: the file.
        name: the data set.
        classes: number of classes; every label must be below it.

    Returns:
        `(train, test)` in source order, images of shape `[n, 32, 32, 3]`.

    Raises:
        DatasetError: if the file is none of the data set's archives, or not as it should be inside.
    """
    with _opened(path) as file:
        archive = _identify(file, path, name)
        file.seek(0)
        members = _read_members(file, path, {*archive.train, archive.test})
    train = [_decode(archive, members, name, path, classes) for name in archive.train]
    test = _decode(archive, members, archive.test, path, classes)
    return (
        Arrays(
            np.concatenate([part.images for part in train]),
            np.concatenate([part.labels for part in train]),
        ),
        test,
    )


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise DatasetError(f"Cannot read the archive {path}: {error.strerror}.") from error


def _identify(file: io.BufferedReader, path: Path, name: str) -> Archive:
    try:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DatasetError(f"Cannot read the archive {path}: {error.strerror}.") from error
    for other, archives in ARCHIVES.items():
        for archive in archives:
            if archive.md5 == md5 and other == name:
                return archive
            if archive.md5 == md5:
                raise DatasetError(
                    f"The archive {path} is {archive.filename}, which holds {other}, not {name}."
                )
    known = " nor ".join(f"{a.filename} ({a.md5})" for a in ARCHIVES[name])
    raise DatasetError(
        f"The archive {path} has the MD5 checksum {md5}, so it is neither {known}: "
        "it is truncated, damaged or another file."
    )


def _read_members(file: io.BufferedReader, path: Path, wanted: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r|gz") as tar:
            for member in tar:
                if member.name in wanted and member.isfile():
                    content = tar.extractfile(member)
                    assert content is not None  # so for every regular file
                    found[member.name] = content.read()
                if len(found) == len(wanted):
                    break
    except Exception as error:  # tarfile lets TypeError, zlib.error and others through
        raise DatasetError(f"Cannot read the archive {path}: {error}.") from error
    if missing := sorted(wanted - found.keys()):
        raise DatasetError(f"The archive {path} lacks {', '.join(missing)}.")
    return found


def _decode(
    archive: Archive, members: dict[str, bytes], member: str, path: Path, classes: int
) -> Arrays:
    where = f"{member} in the archive {path}"
    try:
        pixels, labels = archive.decode(members[member])
    except pickle.UnpicklingError as error:
        raise DatasetError(f"Refused {where}: {error}.") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DatasetError(f"Cannot read {where}: {error!r}.") from error
    if pixels.shape != (len(labels), _PIXELS) or not len(labels):
        raise DatasetError(
            f"{where} holds pixels of shape {pixels.shape} and {len(labels)} labels; "
            f"expected [n, {_PIXELS}] and n, at least one."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DatasetError(f"{where} holds labels outside 0 to {classes - 1}.")
    planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
    return Arrays(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int32))
