"""The options of a timed training, and its data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from resnet_jax.data import Arrays, Dataset, ImageStream

from ..choices import check_choices
from ..options import FOLDER, DataOptions, ImageOptions, ModelOptions
from ..outputs import check_new
from ..photo_options import PhotoOptions
from ..recipe import Recipe
from ..run_options import EvaluationOptions
from ..training_options import OptimizerOptions, ScheduleOptions, TrainingOptions

EPOCHS = {94.0: 16, 95.0: 30, 96.0: 64}
"""Epochs of the training by the highest target that they are for, in percent."""


@dataclass(frozen=True)
class TimedTrainingOptions(TrainingOptions):
    """The training."""

    epochs: int = 0
    """Passes over the training images; 0 is 16, 30 or 64 for targets up to 94, 95 or above."""
    batch_size: int = 512
    """Images per step."""
    label_smoothing: float = 0.1
    """Part of each training label that is spread over all classes."""
    ema_decay: float = 0.995
    """Decay of the moving averages of parameters and statistics that are evaluated; 0: none."""


@dataclass(frozen=True)
class TimedScheduleOptions:
    """The learning rate over the training."""

    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """Shape of the learning rate, which is annealed to the last epoch."""
    warmup: float = 0.25
    """Share of the epochs in which the learning rate first rises to lr."""

    def build(self, epochs: int) -> ScheduleOptions:
        """Make the schedule of a training.

        Args:
            epochs: epochs of the training.
        """
        return ScheduleOptions(schedule=self.schedule, warmup_epochs=self.warmup * epochs)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train, and until when."""

    target: float = 94.0
    """Test accuracy to reach, in percent; it is looked at after each epoch."""
    stop: bool = True
    """End with the first epoch that reaches the target; otherwise with the last one."""
    rehearse: bool = True
    """Run each program once before the clock starts."""
    model: ModelOptions = field(
        default_factory=lambda: ModelOptions(variant="resnet18", stem="cifar", dtype="auto")
    )
    data: DataOptions = field(default_factory=DataOptions)
    images: ImageOptions = field(
        default_factory=lambda: ImageOptions(
            resize=32, crop=32, augment=("crop:4", "flip", "cutout:8")
        )
    )
    training: TimedTrainingOptions = field(default_factory=TimedTrainingOptions)
    optimizer: OptimizerOptions = field(
        default_factory=lambda: OptimizerOptions(lr=0.4, nesterov=True, weight_decay=5e-4)
    )
    schedule: TimedScheduleOptions = field(default_factory=TimedScheduleOptions)
    eval_batch_size: int = 1000
    """Images per evaluation step; changes only speed and memory."""
    flip_test: bool = True
    """Average the logits of each test image and its mirror image."""
    out: Path | None = None
    """JSON file for the result; None prints it only."""
    overwrite: bool = False
    """Replace the JSON file if it exists."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
            FileExistsError: if the JSON file exists and must not be replaced.
        """
        check_choices(self)
        if not 0.0 < self.target <= 100.0:
            raise ValueError(f"`target` (={self.target}) must be above 0 and at most 100 (percent)")
        if self.training.epochs < 0:
            raise ValueError(
                f"`epochs` (={self.training.epochs}) must be at least 1, or 0 to follow `target`"
            )
        if not 0.0 < self.schedule.warmup < 1.0:
            raise ValueError(f"`warmup` (={self.schedule.warmup}) must be above 0 and below 1")
        self.recipe.check()
        if self.out is not None:
            check_new((self.out,), overwrite=self.overwrite)

    @property
    def epochs(self) -> int:
        """Epochs of the training."""
        return self.training.epochs or next(
            (epochs for target, epochs in EPOCHS.items() if self.target <= target),
            max(EPOCHS.values()),
        )

    @property
    def recipe(self) -> Recipe:
        """The same training as a recipe."""
        training = {**asdict(self.training), "epochs": self.epochs}
        return Recipe(
            model=self.model,
            data=self.data,
            # In memory whatever the size, for the device is to hold them.
            photos=PhotoOptions(stream="never"),
            images=self.images,
            training=TrainingOptions(**training),
            optimizer=self.optimizer,
            schedule=self.schedule.build(self.epochs),
            evaluation=EvaluationOptions(
                eval_batch_size=self.eval_batch_size,
                train_accuracy="none",
                flip_test=self.flip_test,
            ),
        )


def load(recipe: Recipe) -> tuple[Dataset, Arrays]:
    """Load a data set, and return it with all its images that are not test images.

    Args:
        recipe: the training.

    Raises:
        ValueError: if it cannot be loaded, as `DatasetError`, or is not in memory.
    """
    if recipe.data.dataset != FOLDER:
        dataset = recipe.data.build()
        return dataset, _in_memory(dataset.train)
    photos = recipe.photos.build(
        recipe.data.data_dir or Path(),
        recipe.images,
        seed=recipe.training.seed,
        on_found=recipe.check_found,
    )
    train = _in_memory(photos.dataset.train)
    if photos.valid is photos.dataset.test:
        return photos.dataset, train
    valid = _in_memory(photos.valid)
    return photos.dataset, Arrays(
        np.concatenate((train.images, valid.images)), np.concatenate((train.labels, valid.labels))
    )


def _in_memory(part: Arrays | ImageStream) -> Arrays:
    """Return a part of a data set.

    Raises:
        ValueError: if its images are read when they are needed.
    """
    if isinstance(part, ImageStream):
        raise ValueError("`dataset` is read when it is needed; name one that fits into memory")
    return part
