"""The types that every data set comes in."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np


class DatasetError(ValueError):
    r"""A data set cannot be had. The message is one line: the cause, and the ways on.

    Args:
        message: the message; line breaks in it, which causes may bring along, become spaces.

    >>> str(DatasetError("Cannot read x: first\nsecond."))
    'Cannot read x: first second.'
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images and their labels.

    Attributes:
        images: uint8 `[n, height, width, channels]`.
        labels: int32 `[n]`.

    Raises:
        ValueError: if types or shapes are not these.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"`images` is {self.images.dtype} {self.images.shape}; "
                "expected uint8 [n, height, width, channels]."
            )
        if self.labels.dtype != np.int32 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"`labels` is {self.labels.dtype} {self.labels.shape}; "
                f"expected int32 [{len(self.images)}]."
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, in the order of its source.

    Attributes:
        name: the name it was loaded by.
        class_names: names in label order.
        train: images and labels for training and validation.
        test: images and labels for the test.
        mean: mean of each channel, as a fraction of the full scale.
        std: standard deviation of each channel, as a fraction of the full scale.
        fingerprint: 64 hexadecimal digits that change with the name, any pixel, any label or the
            order of the examples.
    """

    name: str
    class_names: tuple[str, ...]
    train: Arrays
    test: Arrays
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


def array_digest(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and contents, in hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def combined_digest(name: str, digests: dict[str, str]) -> str:
    """SHA-256 of a data set's name and the digests of its arrays, whatever their order."""
    lines = [name, *(f"{key} {digests[key]}" for key in sorted(digests))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
