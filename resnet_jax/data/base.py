"""The types that every data set comes in."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..storage import one_line
from .class_names import check_names

if TYPE_CHECKING:
    from .image_stream import ImageStream


class DatasetError(ValueError):
    r"""A data set cannot be loaded; the message says why and what to do, in one line.

    Args:
        message: the message; line breaks in it, which the text of another error may bring along,
            become spaces.

    >>> str(DatasetError("cannot read x: first\nsecond"))
    'cannot read x: first second'
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images and their labels.

    Attributes:
        images: uint8 `[n, height, width, channels]`.
        labels: int32 `[n]`.

    Raises:
        ValueError: if the types or shapes differ from these.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for name, array in (("images", self.images), ("labels", self.labels)):
            if not isinstance(array, np.ndarray):
                raise ValueError(
                    f"`{name}` is a {type(array).__name__}; expected a NumPy array, such as "
                    f"np.asarray({name}) makes it"
                )
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"`images` is {self.images.dtype} {self.images.shape}; "
                "expected uint8 [n, height, width, channels]"
            )
        if self.labels.dtype != np.int32 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"`labels` is {self.labels.dtype} {self.labels.shape}; "
                f"expected int32 [{len(self.images)}]"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The images of a data set, as its loader returns them, in the order of the source.

    Attributes:
        train: images and labels for training and validation.
        test: images and labels for the test.
    """

    train: Arrays
    test: Arrays

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The four arrays by name: `train_images`, `train_labels` and those of the test."""
        return {
            "train_images": self.train.images,
            "train_labels": self.train.labels,
            "test_images": self.test.images,
            "test_labels": self.test.labels,
        }

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each array, by name; see `array_digest`."""
        return {name: array_digest(array) for name, array in self.arrays.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, in the order of its source, or one that is read when it is needed.

    Attributes:
        name: the name it was loaded by.
        class_names: names in label order.
        train: images and labels for training and validation.
        test: images and labels for the test.
        mean: mean of each channel, as a fraction of the full scale.
        std: standard deviation of each channel, as a fraction of the full scale.
        fingerprint: 64 hexadecimal digits that change with the name, any pixel, any label or the
            order of the examples; for images that are not in memory see `ImageStream`.

    Raises:
        ValueError: if a class name is no text, has no UTF-8, or is the name of another class.
    """

    name: str
    class_names: tuple[str, ...]
    train: Arrays | ImageStream
    test: Arrays | ImageStream
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    def __post_init__(self) -> None:
        check_names(self.class_names)


def array_digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and contents, in hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    # An array in order is read where it is; of another, one row at a time is copied.
    rows = (array,) if array.flags.c_contiguous else array
    for row in rows:
        digest.update(np.ascontiguousarray(row).data)
    return digest.hexdigest()


def combined_digest(name: str, digests: Mapping[str, str]) -> str:
    """Return the SHA-256 of a data set's name and its arrays' digests, whatever their order."""
    lines = [name, *(f"{key} {digests[key]}" for key in sorted(digests))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
