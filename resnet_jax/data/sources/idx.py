"""Reading gzipped idx files, the format of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ...storage import one_line
from ..base import Arrays, DatasetError

_UINT8 = 0x08


def read_idx(path: Path, *, rank: int) -> np.ndarray:
    """Read one `*.gz` idx file of bytes.

    An idx file starts with two zero bytes, the element type (8: unsigned byte) and the number of
    dimensions; then each dimension as a big-endian 32-bit number; then the elements.

    Args:
        path: the file.
        rank: number of dimensions that the file must have.

    Returns:
        uint8 array of that rank.

    Raises:
        DatasetError: if the file cannot be read, is damaged, or has another type, rank or length.

    References:
        http://yann.lecun.com/exdb/mnist/ (description of the format)
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read {path}: {one_line(error)}") from error
    header = 4 + 4 * rank
    if len(data) < header:
        raise DatasetError(f"{path} holds {len(data)} bytes, less than its {header}-byte header")
    if data[:4] != bytes((0, 0, _UINT8, rank)):
        raise DatasetError(
            f"{path} starts with {data[:4].hex()}; expected {bytes((0, 0, _UINT8, rank)).hex()} "
            f"(an idx file of bytes with {rank} dimensions)"
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", count=rank, offset=4))
    if len(data) - header != math.prod(shape):
        raise DatasetError(
            f"{path} holds {len(data) - header} elements, but its header says "
            f"{' × '.join(map(str, shape))} = {math.prod(shape)}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_pair(folder: Path, prefix: str, *, classes: int) -> Arrays:
    """Read `<prefix>-images-idx3-ubyte.gz` and `<prefix>-labels-idx1-ubyte.gz`.

    Args:
        folder: the folder that holds both files.
        prefix: `"train"` or `"t10k"`.
        classes: number of classes; every label must be below it.

    Returns:
        The images, with one channel, and their labels.

    Raises:
        DatasetError: if a file is not valid or the two do not fit together.
    """
    images_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images = read_idx(images_path, rank=3)
    labels = read_idx(labels_path, rank=1)
    if images.size == 0:
        raise DatasetError(f"{images_path} holds no images: its shape is {images.shape}")
    if len(images) != len(labels):
        raise DatasetError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels"
        )
    if labels.max() >= classes:
        raise DatasetError(
            f"{labels_path} holds the label {labels.max()}; expected 0 to {classes - 1}"
        )
    return Arrays(images[..., None], labels.astype(np.int32))
