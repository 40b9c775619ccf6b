"""The options of the network and of its images, and what each group of them makes.

To add an option, add a field here: the command line, the checks of choices, `config.json` and the
identity of a run read the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import jax
import jax.numpy as jnp
import tyro

from resnet_jax.data import (
    AUGMENTATIONS,
    DATASETS,
    Dataset,
    Pipeline,
    Transform,
    load_dataset,
    make_augmentation,
)
from resnet_jax.models import STEMS, VARIANTS, ResNet, ResNetOptions, create_model

from .flat import Free

if TYPE_CHECKING:
    DatasetName = str
    DatasetOrFolder = str
    Stem = str
    Variant = str
    VariantOrAuto = str
else:
    # The rows of the tables, so that a new one needs no edit here.
    DatasetName = Literal[tuple(DATASETS)]
    DatasetOrFolder = Literal[(*DATASETS, "folder")]
    Stem = Literal[tuple(STEMS)]
    Variant = Literal[tuple(VARIANTS)]
    VariantOrAuto = Literal[("auto", *VARIANTS)]

FOLDER = "folder"
"""The name of the data set that is your own."""
EMBEDDED = "digits"
"""The name of the data set that comes with a package, so that it needs no folder."""

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

AugmentationSpecs = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar=f"{{{','.join(AUGMENTATIONS)}}}[:NUMBER]")
]


@dataclass(frozen=True)
class ModelOptions:
    """The network."""

    variant: Variant = "resnet34"
    """Depth and kind of the blocks; `python -m experiments --variants` lists the names."""
    stem: Stem = "imagenet"
    """First layers: imagenet is the variant's own, such as 7x7/2 convolution and 3x3/2 max-pool;
    cifar is one 3x3/1 convolution."""
    base_planes: int = 64
    """Planes of the first stage, doubled in each further one; 64 is the variant's own."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Type to compute in; parameters stay float32. auto is bfloat16 on GPU and TPU."""
    remat: bool = False
    """Compute activations again in the backward pass instead of keeping them, to save memory."""

    def check(self) -> None:
        """Raise a `ValueError` for a width at which a grouped convolution has no channels."""
        least = -(-64 // VARIANTS[self.variant].width_per_group)
        if self.base_planes < least:
            raise ValueError(
                f"`base_planes` (={self.base_planes}) must be at least {least} for {self.variant}"
            )

    @property
    def resolved_dtype(self) -> str:
        """The type that `auto` stands for on this machine; any other name is itself."""
        if self.dtype != "auto":
            return self.dtype
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"

    @property
    def options(self) -> ResNetOptions:
        """The options of the network that differ from the variant's own."""
        options: ResNetOptions = {"dtype": DTYPES[self.resolved_dtype], "remat": self.remat}
        if self.stem != ModelOptions.stem:
            options["stem"] = self.stem
        if self.base_planes != ModelOptions.base_planes:
            options["base_planes"] = self.base_planes
        return options

    def build(self, num_classes: int) -> ResNet:
        """Make the network.

        Args:
            num_classes: size of the logits.
        """
        return create_model(self.variant, num_classes, **self.options)


@dataclass(frozen=True)
class DataOptions:
    """The data set."""

    dataset: DatasetOrFolder = "cifar10"
    """The images; digits is embedded and needs no download, folder is your own in data_dir."""
    archive: Free[Path | None] = None
    """Local copy of the data set: its archive, or a folder, .zip or .tar of its files."""
    data_dir: Free[Path | None] = None
    """Folder for prepared data sets, None for your cache directory; or the images of folder, as
    class folders, ArrayRecord, Parquet or tar files."""

    def check(self) -> None:
        """Raise a `ValueError` for images of your own without a place, or a place without use."""
        if self.dataset == FOLDER and self.data_dir is None:
            raise ValueError(
                "`data_dir` (=None) must be the folder of your images; give --data-dir"
            )
        if self.dataset == FOLDER and self.archive is not None:
            raise ValueError(
                f"`archive` (={self.archive}) is of no use to `dataset` (='folder'); leave it out"
            )
        if self.dataset == EMBEDDED and self.data_dir is not None:
            raise ValueError(
                f"`data_dir` (={self.data_dir}) is of no use to `dataset` (={EMBEDDED!r}); leave "
                "it out"
            )

    def build(self) -> Dataset:
        """Load the data set; a `DatasetError`, which is a `ValueError`, says why it cannot be."""
        return load_dataset(self.dataset, archive=self.archive, data_dir=self.data_dir)


@dataclass(frozen=True)
class ImageOptions:
    """How images are prepared."""

    resize: int = 120
    """Side of the resized image, in pixels."""
    crop: int = 110
    """Side of the crop, in pixels: random in training, in the middle in evaluation."""
    eval_crop: int | None = None
    """Side of the crop in evaluation, in pixels; None is that of training."""
    progressive: tuple[int, ...] = ()
    """Smaller sides of the crop in training, in pixels and ascending, for the first epochs; each
    size, crop included, has an equal share of all epochs. Compiles once a size."""
    augment: AugmentationSpecs = ()
    """Augmentations after the crop in training, in this order, as in: crop:4 flip cutout:8."""

    def check(self) -> None:
        """Raise a `ValueError` for a size or an augmentation that cannot work."""
        if self.eval_crop is not None and not 1 <= self.eval_crop <= self.resize:
            raise ValueError(
                f"`eval_crop` (={self.eval_crop}) must be at least 1, and not exceed `resize` "
                f"(={self.resize})"
            )
        if self.progressive and (
            self.progressive[0] < 1
            or any(before >= after for before, after in pairwise(self.sides))
        ):
            raise ValueError(
                f"`progressive` (={self.progressive}) must ascend from at least 1 to below `crop` "
                f"(={self.crop})"
            )
        for side in self.sides:
            transform = self.build_training((1, 1), (0.0,), (1.0,), side)
            self.build_pipeline(transform, num_classes=2)

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the crop in training, in pixels, in the order of their epochs."""
        return (*self.progressive, self.crop)

    @property
    def test_crop(self) -> int:
        """Side of the crop in evaluation, in pixels."""
        return self.crop if self.eval_crop is None else self.eval_crop

    def build(
        self, source: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> Transform:
        """Make the transform of the evaluation.

        Args:
            source: height and width of the images in memory, in pixels.
            mean: mean of each channel, as a fraction of the full scale.
            std: standard deviation of each channel, as a fraction of the full scale.
        """
        return Transform(source=source, resize=self.resize, crop=self.test_crop, mean=mean, std=std)

    def build_training(
        self,
        source: tuple[int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        side: int,
    ) -> Transform:
        """Make the transform of the training; smaller crops are of images that are as much smaller.

        Args:
            source: height and width of the images in memory, in pixels.
            mean: mean of each channel, as a fraction of the full scale.
            std: standard deviation of each channel, as a fraction of the full scale.
            side: side of the crop, one of `sides`.
        """
        resize = (
            max(side, round(self.resize * side / self.crop)) if side < self.crop else self.resize
        )
        return Transform(source=source, resize=resize, crop=side, mean=mean, std=std)

    def build_pipeline(self, transform: Transform, num_classes: int) -> Pipeline:
        """Make what prepares a training batch: the random crop and the augmentations.

        Args:
            transform: the transform of `build_training`.
            num_classes: number of classes.
        """
        return Pipeline(transform, tuple(map(make_augmentation, self.augment)), num_classes)
