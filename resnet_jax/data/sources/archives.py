"""CIFAR's archives: the published ones, whether a file is one of them, and the arrays inside."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...storage import one_line
from ..base import Arrays, DatasetError, Parts
from .unpickle import load_arrays

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE

# Bytes of one tar member → pixels [n, 3072] and labels [n].
_Decoder = Callable[[bytes], tuple[np.ndarray, np.ndarray]]


def _binary_records(label_bytes: int) -> _Decoder:
    """Return a decoder of records: label bytes, the class last, then red, green and blue planes."""

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        record = label_bytes + _PIXELS
        if len(data) % record:
            raise ValueError(f"its {len(data)} bytes are not a multiple of a {record}-byte record")
        rows = np.frombuffer(data, np.uint8).reshape(-1, record)
        return rows[:, label_bytes:], rows[:, label_bytes - 1]

    return decode


def _pickled_batch(labels_key: str) -> _Decoder:
    """Return a decoder of pickled dictionaries: pixels under `data`, labels under `labels_key`."""

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        batch = load_arrays(io.BytesIO(data))
        pixels, labels = batch["data"], np.asarray(batch[labels_key])
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError("its `data` is not a table of bytes")
        if labels.dtype.kind != "i" or labels.ndim != 1:
            raise ValueError(f"its `{labels_key}` is not a list of integers")
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


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

# Names and checksums are published at https://www.cs.toronto.edu/~kriz/cifar.html.
CIFAR10_ARCHIVES = (
    Archive(
        filename="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        train=tuple(f"cifar-10-batches-bin/{name}.bin" for name in _BATCHES),
        test="cifar-10-batches-bin/test_batch.bin",
        decode=_binary_records(1),
    ),
    Archive(
        filename="cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        train=tuple(f"cifar-10-batches-py/{name}" for name in _BATCHES),
        test="cifar-10-batches-py/test_batch",
        decode=_pickled_batch("labels"),
    ),
)
CIFAR100_ARCHIVES = (
    Archive(
        filename="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        train=("cifar-100-binary/train.bin",),
        test="cifar-100-binary/test.bin",
        decode=_binary_records(2),
    ),
    Archive(
        filename="cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        train=("cifar-100-python/train",),
        test="cifar-100-python/test",
        decode=_pickled_batch("fine_labels"),
    ),
)


def identify(path: Path, archives: Sequence[Archive], others: Sequence[Archive] = ()) -> Archive:
    """Find out by its checksum which archive a file is, whatever the file is called.

    Args:
        path: the file.
        archives: the archives that it may be.
        others: archives of other data sets, to name one that was taken by mistake.

    Raises:
        DatasetError: if the file cannot be read or is none of `archives`.
    """
    with _opened(path) as file:
        return _identify(file, path, archives, others)


def read_archive(
    path: Path, archives: Sequence[Archive], others: Sequence[Archive] = (), *, classes: int
) -> Parts:
    """Read the images of an archive whose checksum is right.

    Members are picked from the stream by their full names; nothing is unpacked to disk.

    Args:
        path: the file.
        archives: the archives that it may be.
        others: archives of other data sets, to name one that was taken by mistake.
        classes: number of classes; every label must be below it.

    Returns:
        Images and labels in source order; the images have shape `[n, 32, 32, 3]`.

    Raises:
        DatasetError: if the file is none of `archives`, or its contents are not what they should
            be.
    """
    with _opened(path) as file:
        archive = _identify(file, path, archives, others)
        file.seek(0)
        members = _read_members(file, path, {*archive.train, archive.test})
    train = [_decode(archive, members, name, path, classes) for name in archive.train]
    return Parts(
        Arrays(
            np.concatenate([part.images for part in train]),
            np.concatenate([part.labels for part in train]),
        ),
        _decode(archive, members, archive.test, path, classes),
    )


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise DatasetError(f"cannot read the archive {path}: {error.strerror}") from error


def _identify(
    file: io.BufferedReader, path: Path, archives: Sequence[Archive], others: Sequence[Archive]
) -> Archive:
    try:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DatasetError(f"cannot read the archive {path}: {error.strerror}") from error
    for archive in archives:
        if archive.md5 == md5:
            return archive
    for other in others:
        if other.md5 == md5:
            names = " or ".join(archive.filename for archive in archives)
            raise DatasetError(
                f"the archive {path} is {other.filename}, of another data set; name {names}"
            )
    known = " nor ".join(f"{archive.filename} ({archive.md5})" for archive in archives)
    raise DatasetError(
        f"the archive {path} has the MD5 checksum {md5}, so it is neither {known}: "
        "it is truncated, damaged or another file"
    )


def _read_members(file: io.BufferedReader, path: Path, wanted: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r|gz") as tar:
            for member in tar:
                if member.name in wanted and member.isfile():
                    content = tar.extractfile(member)
                    assert content is not None  # true of every regular file
                    found[member.name] = content.read()
                if len(found) == len(wanted):
                    break
    except Exception as error:  # tarfile lets TypeError, zlib.error and others through
        raise DatasetError(f"cannot read the archive {path}: {one_line(error)}") from error
    if missing := sorted(wanted - found.keys()):
        raise DatasetError(f"the archive {path} lacks {', '.join(missing)}")
    return found


def _decode(
    archive: Archive, members: dict[str, bytes], member: str, path: Path, classes: int
) -> Arrays:
    where = f"{member} in the archive {path}"
    try:
        pixels, labels = archive.decode(members[member])
    except pickle.UnpicklingError as error:
        raise DatasetError(f"refused {where}: {one_line(error)}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DatasetError(f"cannot read {where}: {error!r}") from error
    if pixels.shape != (len(labels), _PIXELS) or not len(labels):
        raise DatasetError(
            f"{where} holds pixels of shape {pixels.shape} and {len(labels)} labels; "
            f"expected [n, {_PIXELS}] and n, at least one"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DatasetError(f"{where} holds labels outside 0 to {classes - 1}")
    planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
    return Arrays(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int32))
