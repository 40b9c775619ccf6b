"""The options of a training on files of your own, and what they make."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from resnet_jax.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Arrays,
    Dataset,
    DatasetError,
    FolderFacts,
    ImageStream,
    ImageTransform,
    RandomResizedCrop,
    RecordSet,
    default_data_dir,
    holds_files_of_images,
    load_image_folder,
    open_records,
)

from .flat import Free, default_options
from .options import ImageOptions

_CHANNELS = 3


class Photos(NamedTuple):
    """A data set of files.

    Attributes:
        dataset: class names, training and test images, and what they are normalised by.
        valid: the validation images; the same object as the test images where they are these, too.
        note: where decoded images were kept or found, in one line; empty if nowhere.
    """

    dataset: Dataset
    valid: Arrays | ImageStream
    note: str = ""


@dataclass(frozen=True)
class PhotoOptions:
    """Images of your own (--dataset folder --data-dir DIR)."""

    crop_mode: Literal["center", "squash"] = "center"
    """How images become squares: center keeps their proportions and crops, squash does not."""
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    """Filter of the resize on the host."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Read images when they are needed, and cut a random part out of each in training, as for
    ImageNet; auto does so where they would not fit into memory_gigabytes or are packed."""
    image_cache: Free[bool] = True
    """Keep images that are decoded into memory in your cache directory, 20 GB at most, for later
    starts and --resume, which then read no image file."""
    test_part: Literal["auto", "split"] = "auto"
    """Test images where none are marked as such: auto takes the validation images if there are
    some, as for ImageNet, and all training images are trained on; otherwise, and always with
    split, a tenth of the training images."""
    memory_gigabytes: float = 4.0
    """Size of the decoded images, in 10^9 bytes, up to which stream auto keeps them in memory."""
    least_area: float = 0.08
    """Least share of a streamed image's area that is cut out in training; 1 crops in the middle."""
    repeats: int = 1
    """How often a streamed image comes in an epoch of training, each time cut out and augmented
    anew; an epoch takes as small a part of the images (repeated augmentation)."""
    draft: bool = False
    """Decode streamed JPEG files at a fraction of their size where that is enough: faster, with
    slightly different pixels."""
    workers: Free[int] = 0
    """Processes that decode streamed images; 0 decodes in threads. The numbers stay the same."""

    def check(self) -> None:
        """Raise a `ValueError` for a value out of range."""
        if not 0 < self.least_area <= 1:
            raise ValueError(f"`least_area` (={self.least_area}) must be above 0 and at most 1")
        if not (self.memory_gigabytes >= 0 and math.isfinite(self.memory_gigabytes)):
            raise ValueError(
                f"`memory_gigabytes` (={self.memory_gigabytes}) must be finite and at least 0"
            )
        if self.repeats < 1:
            raise ValueError(f"`repeats` (={self.repeats}) must be at least 1")
        if self.repeats > 1 and self.stream != "always":
            raise ValueError(
                f"`repeats` (={self.repeats}) is for `stream` always, not {self.stream}; leave it "
                "out"
            )
        if self.workers < 0:
            raise ValueError(f"`workers` (={self.workers}) must be at least 0")

    def check_unused(self, dataset: str) -> None:
        """Raise a `ValueError` for an option that a named data set, kept in memory, cannot use.

        Args:
            dataset: its name.
        """
        for name, default in default_options(PhotoOptions).items():
            value = getattr(self, name)
            # As if all of them were given `stream` never.
            if value != default and (name, value) != ("stream", "never"):
                raise ValueError(
                    f"`{name}` (={value!r}) is for `dataset` folder, not {dataset}; leave it out"
                )

    def build(
        self,
        root: Path,
        images: ImageOptions,
        *,
        seed: int,
        on_found: Callable[[FolderFacts], None],
    ) -> Photos:
        """Open the images, and decode them if they are kept in memory.

        Args:
            root: the folder.
            images: their sizes.
            seed: seed of the split.
            on_found: is called with what a folder of image files holds before these are read.

        Raises:
            ValueError: as `DatasetError`, if they cannot be used.
        """
        if self.stream == "never" or (self.stream == "auto" and holds_files_of_images(root)):
            limit = math.inf if self.stream == "never" else self.memory_gigabytes
            photos = self._in_memory(root, images, seed, on_found, limit)
            if photos is not None:
                return photos
        records = open_records(root, seed=seed, missing_test=self._missing_test)
        return self._streamed(records, images)

    def center(self, images: ImageOptions) -> ImageTransform:
        """Return the resize and the crop of the evaluation, with ImageNet's statistics.

        Args:
            images: the sizes.
        """
        modes: Any = {"crop_mode": self.crop_mode, "interpolation": self.interpolation}
        return ImageTransform(resize=images.resize, crop=images.test_crop, **modes)

    @property
    def _missing_test(self) -> Literal["split", "valid"]:
        return "valid" if self.test_part == "auto" else "split"

    def _in_memory(
        self,
        root: Path,
        images: ImageOptions,
        seed: int,
        on_found: Callable[[FolderFacts], None],
        limit: float,
    ) -> Photos | None:
        """Decode all images of a folder; return None if they take more than the limit."""

        def check(facts: FolderFacts) -> None:
            on_found(facts)
            count = sum(map(sum, facts.counts.values()))
            if count * images.resize**2 * _CHANNELS > 1e9 * limit:
                raise _TooLargeError

        try:
            folder = load_image_folder(
                root,
                side=images.resize,
                channels=_CHANNELS,
                seed=seed,
                transform=self.center(images),
                keep_in=decoded_dir(self.image_cache),
                missing_test=self._missing_test,
                on_found=check,
            )
        except _TooLargeError:
            return None
        return Photos(folder.dataset, folder.valid, folder.note)

    def _streamed(self, records: RecordSet, images: ImageOptions) -> Photos:
        center = self.center(images)
        method: Any = self.interpolation
        random = RandomResizedCrop(
            size=images.crop, scale=(self.least_area, 1.0), interpolation=method
        )
        valid, test, train = (
            ImageStream(records=part, center=center, draft=self.draft, workers=self.workers)
            for part in (records.valid, records.test, records.train)
        )
        if records.test is records.valid:
            test = valid
        train = replace(train, repeats=self.repeats)
        if self.least_area < 1:
            train = replace(train, random=random)
        dataset = Dataset(
            name="folder",
            class_names=records.class_names,
            train=train,
            test=test,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            fingerprint=_digest([*records.class_names], train, valid, test),
        )
        return Photos(dataset, valid)


def _digest(texts: list[str], *streams: ImageStream) -> str:
    """Return the SHA-256 of texts and of what the streams are made of, in hexadecimal."""
    lines = [*texts, *(stream.fingerprint for stream in streams)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def decoded_dir(image_cache: bool) -> Path | None:
    """Return the folder for decoded images; None keeps none, as where the user has no home folder.

    Args:
        image_cache: the option.
    """
    if not image_cache:
        return None
    try:
        return default_data_dir()
    except DatasetError:
        return None


class _TooLargeError(Exception):
    """The decoded images take more memory than they may."""
