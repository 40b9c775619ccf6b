"""CIFAR's batches: files of many images each, pickled or as plain records."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable, Sequence

import numpy as np

from ...storage import one_line
from ..base import Arrays, DatasetError, Parts
from .layout import Layout, places, read_published, where
from .trees import Tree
from .unpickle import load_arrays

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE

# Bytes of one file → pixels [n, 3072] and labels [n].
_Decoder = Callable[[bytes], tuple[np.ndarray, np.ndarray]]


def binary_records(label_bytes: int) -> _Decoder:
    """Return a decoder of records: label bytes, the class last, then red, green and blue planes.

    Args:
        label_bytes: number of label bytes in a record.
    """

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        record = label_bytes + _PIXELS
        if len(data) % record:
            raise ValueError(f"its {len(data)} bytes are not a multiple of a {record}-byte record")
        rows = np.frombuffer(data, np.uint8).reshape(-1, record)
        return rows[:, label_bytes:], rows[:, label_bytes - 1]

    return decode


def pickled_batch(labels_key: str) -> _Decoder:
    """Return a decoder of pickled dictionaries, which calls nothing that a pickle names.

    Args:
        labels_key: key of the labels; the pixels are under `data`.
    """

    def decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        batch = load_arrays(io.BytesIO(data))
        pixels, labels = batch["data"], np.asarray(batch[labels_key])
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError("its `data` is not a table of bytes")
        if labels.dtype.kind != "i" or labels.ndim != 1:
            raise ValueError(f"its `{labels_key}` is not a list of integers")
        return np.asarray(pixels), labels

    return decode


@dataclasses.dataclass(frozen=True)
class Batches(Layout):
    """Layout of CIFAR's batches.

    Attributes:
        train: files with the training images, in the order of the source.
        test: file with the test images.
        decode: reads one file.
        digests: published checksums of the files, those of the training first; empty if none are
            published.
    """

    train: tuple[str, ...]
    test: str
    decode: _Decoder
    digests: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The files, for messages."""
        first = self.train[0]
        return f"{first} … {self.test}" if len(self.train) > 1 else f"{first} and {self.test}"

    @property
    def published(self) -> bool:
        """Whether every file is compared with its published checksum."""
        return bool(self.digests)

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the names of the batches where one of them lies.

        Args:
            tree: the folder or archive.
        """
        names = (*self.train, self.test)
        for folder in places(tree):
            if any(tree.has(folder + name) for name in names):
                return tuple(folder + name for name in names)
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images, in the order of the source.

        Args:
            tree: the folder or archive.
            names: the files, that of the test last.
            class_names: names in label order.

        Raises:
            DatasetError: if a file is missing, damaged, or not what it should be.
        """
        digests = self.digests or (None,) * len(names)
        batches = {
            name: self._decode(data, where(tree, name), len(class_names))
            for name, data in read_published(tree, dict(zip(names, digests, strict=True)))
        }
        train = [batches[name] for name in names[:-1]]
        return Parts(
            Arrays(
                np.concatenate([batch.images for batch in train]),
                np.concatenate([batch.labels for batch in train]),
            ),
            batches[names[-1]],
        )

    def _decode(self, data: bytes, place: str, classes: int) -> Arrays:
        try:
            pixels, labels = self.decode(data)
        except pickle.UnpicklingError as error:
            raise DatasetError(f"refused {place}: {one_line(error)}") from error
        except Exception as error:  # a damaged pickle may raise anything
            raise DatasetError(f"cannot read {place}: {error!r}") from error
        if pixels.shape != (len(labels), _PIXELS) or not len(labels):
            raise DatasetError(
                f"{place} holds pixels of shape {pixels.shape} and {len(labels)} labels; "
                f"expected [n, {_PIXELS}] and n, at least one"
            )
        if labels.min() < 0 or labels.max() >= classes:
            raise DatasetError(f"{place} holds labels outside 0 to {classes - 1}")
        planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
        return Arrays(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int32))
