"""Labelled images that are read and cropped when they are needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..storage import whole_number
from .image_decoding import MODES, decode_bytes
from .image_transform import ImageTransform
from .random_resized_crop import RandomResizedCrop
from .records.base import Records, digest

_STREAM = 0x696D6167
"""Keeps the random numbers of the crops apart from others with the same seed."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ImageStream:
    """Labelled images of any number and size, read and cropped when they are needed.

    In memory are the labels and what tells where the images are, and those images that are on
    their way: see `read_ahead`.

    Args:
        records: the encoded images.
        center: resizes and crops an image for evaluation; its `crop` is the side of the results,
            and the length of its `mean` the number of channels. It does not normalise here.
        random: cuts a random part for training, of any side; None takes that of `center`.
        draft: decode JPEG files at 1/2, 1/4 or 1/8 of their size where the result is smaller
            still. Photographs 1,600 pixels wide then take 5 ms instead of 22 (`center`) and 7
            instead of 16 (`random`) to 224 pixels; pixels differ by 1 of 255 on average, and by
            up to 32. For those 500 pixels wide, ImageNet's size, next to nothing changes.
        repeats: how often an image comes in an epoch of training, each time with a random crop of
            its own; the epoch takes as small a part of the images, and has as many steps.
        workers: processes that decode; 0 decodes in threads of this process, which costs the
            least time and memory as long as Pillow does most of the work.

    Raises:
        TypeError: if `workers` or `repeats` is no whole number.
        ValueError: if `workers` is negative, or `repeats` is not positive.

    References:
        Hoffer et al.: Augment your batch: better training with larger batches. 2019,
        arXiv:1901.09335 (`repeats`).
    """

    records: Records
    center: ImageTransform
    random: RandomResizedCrop | None = None
    draft: bool = False
    repeats: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "repeats", whole_number("repeats", self.repeats))
        object.__setattr__(self, "workers", whole_number("workers", self.workers, least=0))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def labels(self) -> np.ndarray:
        """The labels, int32 `[n]`."""
        return self.records.labels

    @property
    def images(self) -> CenterImages:
        """The images as an evaluation sees them: uint8 `[n, side, side, channels]`."""
        return CenterImages(self)

    @property
    def fingerprint(self) -> str:
        """The digest of names, sizes and labels, in their order, and of crops and repeats.

        The contents of the files are not read for it.
        """
        crops = dataclasses.replace(
            self.center, mean=(0.0,) * self.channels, std=(1.0,) * self.channels
        )
        repeats = [f"repeats {self.repeats}"] if self.repeats > 1 else []
        return digest([self.records.fingerprint, repr((crops, self.random, self.draft)), *repeats])

    @property
    def side(self) -> int:
        """Height and width of the images for evaluation, in pixels."""
        return self.center.crop

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return len(self.center.mean)

    def resized(self, side: int) -> ImageStream:
        """Return the same images with random crops of another size; others stay as they are.

        Args:
            side: height and width of the random crops, in pixels.
        """
        if self.random is None:
            return self
        return dataclasses.replace(self, random=dataclasses.replace(self.random, size=side))

    def epoch_rows(self, order: np.ndarray) -> np.ndarray:
        """Return the images of each step of an epoch, with their repetitions.

        The repetitions of an image are in the same step, as far apart as it allows: augmentations
        that mix neighbours mix different images, and several devices share them out.

        Args:
            order: int `[steps, batch]`, positions of images, each once.

        Returns:
            int64 `[steps, batch]`. The first `1 / repeats` of the positions; that of a repetition
            is raised by a multiple of `len(self)`, from which `cropped` knows it.
        """
        rows = np.asarray(order, np.int64)
        steps, batch = rows.shape
        share = -(-batch // self.repeats)
        taken = rows.reshape(-1)[: steps * share].reshape(steps, 1, share)
        raised = len(self) * np.arange(self.repeats)[:, None]
        return (taken + raised).reshape(steps, -1)[:, :batch]

    def centered(self, row: int) -> np.ndarray:
        """Return an image for evaluation.

        Args:
            row: its position.

        Returns:
            uint8 `[side, side, channels]`.

        Raises:
            ImageFileError: if it is damaged or too large.
            OSError: if it cannot be read.
        """

        def least(width: int, height: int) -> tuple[int, int]:
            return self.center.resized(height, width)[::-1]

        picture = decode_bytes(
            self.records.read(row),
            self.records.name(row),
            MODES[self.channels],
            least=least if self.draft else None,
        )
        return self.center.pixels(picture)

    def cropped(self, row: int, seed: int, epoch: int) -> np.ndarray:
        """Return an image for training: a pure function of the arguments.

        Args:
            row: its position, or that of a repetition: see `epoch_rows`.
            seed: of the run, `0 <= seed < 2**64`.
            epoch: counted from 0.

        Returns:
            uint8 `[size, size, channels]`, of the size of `random`.

        Raises:
            ImageFileError: if it is damaged or too large.
            OSError: if it cannot be read.
        """
        repetition, row = divmod(row, len(self))
        if self.random is None:
            return self.centered(row)
        crop = self.random
        # A counter-based generator is made for each image at no cost; its lowest word counts the
        # numbers that are drawn.
        counter = np.array([0, repetition, row, epoch], np.uint64)
        key = np.array([seed, _STREAM], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
        whole: list[tuple[int, int]] = []
        boxes = []

        def least(width: int, height: int) -> tuple[int, int]:
            whole.append((width, height))
            left, upper, right, lower = crop.draw(generator, width, height)
            boxes.append((left, upper, right, lower))
            # The size at which the part is as large as the result.
            return (
                -(-width * crop.size // (right - left)),
                -(-height * crop.size // (lower - upper)),
            )

        picture = decode_bytes(
            self.records.read(row),
            self.records.name(row),
            MODES[self.channels],
            least=least if self.draft else None,
        )
        if not boxes:
            least(*picture.size)
        return crop.apply(picture, boxes[0], whole[0])


class CenterImages:
    """The images of a stream as an evaluation sees them, decoded when they are taken.

    It is indexed as an array is along its first axis: by a position, a slice, or positions.

    Args:
        stream: the images.

    Attributes:
        dtype: the type of the pixels, uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, stream: ImageStream) -> None:
        self._stream = stream

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape `[n, side, side, channels]`."""
        stream = self._stream
        return len(stream), stream.side, stream.side, stream.channels

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._stream)

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index]
        if rows.ndim == 0:
            return self._stream.centered(int(rows))
        from .read_ahead import read_ahead

        with read_ahead(self._stream, rows, batch=max(1, len(rows)), threads_only=True) as batches:
            return next(batches, np.zeros((0, *self.shape[1:]), np.uint8))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all images in memory."""
        del copy
        return np.asarray(self[:], dtype)
