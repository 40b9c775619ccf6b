"""Recipes: trainings from scratch on a named data set, and their command.

A recipe is a `Recipe` with its own defaults, in a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from resnet_jax.data import (
    Arrays,
    Dataset,
    ImageStream,
    Transform,
    split_indices,
)
from resnet_jax.run import DataFacts, FitConfig, processes
from resnet_jax.storage import printable

from . import cli
from .choices import check_choices
from .flat import Free, override
from .job import Built, CreateModel, Job
from .options import FOLDER, DataOptions
from .photo_options import PhotoOptions
from .streams import tell
from .train import Result, run_command, train

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "none": {},
        "quick": {
            "dataset": "digits",
            "resize": 32,
            "crop": 32,
            "eval_crop": None,
            "progressive": (),
            "stream": "auto",
            "epochs": 10,
            "batch_size": 64,
            "lr": 0.01,
            "log_every": 10,
        },
    }
)
"""Values that replace the defaults of all recipes; the command line overrides both."""

Preset = Literal["none", "quick"]


@dataclass(frozen=True)
class _PresetOption:
    """The option that is read first, because it changes the defaults of the others."""

    preset: Preset = "none"


@dataclass(frozen=True, kw_only=True)
class Recipe(Job):
    """What to train, on what, and how."""

    preset: Free[Preset] = "none"
    """Defaults for another purpose: quick trains on digits at 32 px, in minutes on a CPU."""
    recipe: Literal["default", "tutorial"] = "default"
    """tutorial does everything as the reference does, slips included (see the documentation)."""
    data: DataOptions = field(default_factory=DataOptions)
    photos: PhotoOptions = field(default_factory=PhotoOptions)

    @property
    def is_tutorial(self) -> bool:
        """Whether everything is done as the reference does it, slips included."""
        return self.recipe == "tutorial"

    def build(self, create_model: CreateModel | None = None) -> Built:
        """Load the data set, split off a tenth of its training images, and make the task.

        Args:
            create_model: makes the network; None makes that of the options.

        Raises:
            ValueError: as `DatasetError`, if the data set cannot be loaded.
        """
        if self.data.dataset == FOLDER:
            return self._build_photos(self.data.data_dir or Path(), create_model)
        dataset = self.data.build()
        train_indices, valid_indices = split_indices(len(dataset.train), seed=self.training.seed)
        task = self.build_task(
            dataset,
            train=_subset(dataset.train, train_indices),
            valid=_subset(dataset.train, valid_indices),
            model=(create_model or self.model.build)(len(dataset.class_names)),
            tx=self.optimizer.build(),
        )
        return Built(task, dataset)

    def check(self) -> FitConfig:
        """Find what is wrong with the options by themselves.

        Returns:
            The part of them that configures the loop.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        config = super().check()
        self.data.check()
        self.photos.check()
        is_folder = self.data.dataset == FOLDER
        # A run from before this check goes on by the command that began it.
        if not is_folder and not self.run.resume:
            self.photos.check_unused(self.data.dataset)
        if self.is_tutorial and is_folder:
            raise ValueError("`recipe` (='tutorial') is for the named data sets, not for folder")
        return config

    def build_transform(self, dataset: Dataset, side: int | None = None) -> Transform:
        """Make the transform of images of the data set; those of a stream are cropped already.

        Args:
            dataset: the data set, whose images have one size.
            side: side of the crop in training, one of `images.sides`; None is for the evaluation.
        """
        stream = dataset.train
        if not isinstance(stream, ImageStream):
            return super().build_transform(dataset, side)
        whole = self.images.test_crop
        if side is None or stream.random is not None:
            side = whole if side is None else side
            cropped = replace(self.images, resize=side, crop=side, eval_crop=None)
            return cropped.build((side, side), dataset.mean, dataset.std)
        # Crops of the middle of its images.
        images = replace(self.images, resize=max(whole, self.images.crop))
        return images.build_training((whole, whole), dataset.mean, dataset.std, side)

    def _build_photos(self, root: Path, create_model: CreateModel | None) -> Built:
        """Open a folder of images, and make the task."""
        photos = self.photos.build(
            root, self.images, seed=self.training.seed, on_found=self.check_found
        )
        dataset = photos.dataset
        if isinstance(dataset.train, ImageStream) and processes.is_first():
            parts = {"train": dataset.train, "valid": photos.valid, "test": dataset.test}
            if dataset.test is photos.valid:
                parts = {"train": dataset.train, "valid and test": photos.valid}
            counts = ", ".join(f"{len(images):,} {part}" for part, images in parts.items())
            tell(
                f"{printable(str(root))}: {len(dataset.class_names):,} classes; images: {counts}; "
                "read when they are needed"
            )
        if photos.note and processes.is_first():
            tell(photos.note)
        task = self.build_task(
            dataset,
            train=dataset.train,
            valid=photos.valid,
            model=(create_model or self.model.build)(len(dataset.class_names)),
            tx=self.optimizer.build(),
        )
        # No registry knows these images.
        facts = DataFacts(dataset.class_names, self.images.resize, dataset.mean, dataset.std)
        return Built(task, dataset, facts)


def _subset(arrays: Arrays | ImageStream, indices: np.ndarray) -> Arrays:
    """Return the images and labels at the indices."""
    return Arrays(arrays.images[indices], arrays.labels[indices])


def parse(
    defaults: Recipe,
    argv: Sequence[str] | None,
    *,
    description: str,
    quick: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """Read the command line of a recipe.

    Args:
        defaults: the recipe's own values.
        argv: the arguments; None takes the process's.
        description: the text at the head of the help.
        quick: what the preset quick replaces in this recipe, beside what it does in all of them.

    Raises:
        SystemExit: with code 0 after `--help`, with code 2 for arguments that cannot be read.
        ValueError: for an unknown preset.
    """
    option = cli.parse_known(_PresetOption, argv)
    check_choices(option)
    values = dict(PRESETS[option.preset])
    if option.preset == "quick":
        values.update(quick)
    if values:
        run_dir = defaults.run.run_dir
        values["run_dir"] = run_dir.with_name(f"{run_dir.name}_{option.preset}")
    return cli.parse(Recipe, argv, default=override(defaults, **values), description=description)


class Train(Protocol):
    """The function of a recipe's module that trains it."""

    def __call__(self, config: Recipe = ..., *, create_model: CreateModel | None = None) -> Result:
        """Train and evaluate; see `experiments.train.train`."""


class Main(Protocol):
    """The function of a recipe's module that is its command."""

    def __call__(
        self, argv: Sequence[str] | None = None, *, create_model: CreateModel | None = None
    ) -> int:
        """Run the command; return its exit code."""


def command(
    defaults: Recipe,
    description: str | None,
    *,
    quick: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Train, Main]:
    """Return the two functions of a recipe's module, `train` and `main`.

    Args:
        defaults: the recipe's own values.
        description: the text at the head of the help.
        quick: what the preset quick replaces in this recipe, beside what it does in all of them.
    """

    def train_recipe(
        config: Recipe = defaults, *, create_model: CreateModel | None = None
    ) -> Result:
        """Train and evaluate; see `experiments.train.train`."""
        return train(config, create_model=create_model)

    def main(argv: Sequence[str] | None = None, *, create_model: CreateModel | None = None) -> int:
        """Run the command; return its exit code."""
        return run_command(
            lambda: parse(defaults, argv, description=description or "", quick=quick),
            create_model=create_model,
        )

    return train_recipe, main
