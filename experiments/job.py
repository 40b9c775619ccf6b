"""What every training shares: its options, their checks, and the task that they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import optax
from flax import linen as nn
from jax import Array

from resnet_jax.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Arrays,
    Dataset,
    FolderFacts,
    ImageStream,
    Transform,
)
from resnet_jax.models import ResNet
from resnet_jax.run import DataFacts, FitConfig, Phase, Task, processes, steps_per_epoch
from resnet_jax.storage import printable

from .choices import check_choices
from .flat import default_options, flatten, override
from .options import ImageOptions, ModelOptions
from .run_options import DeviceOptions, EvaluationOptions, RunOptions
from .streams import tell
from .training_options import OptimizerOptions, ScheduleOptions, TrainingOptions

CreateModel = Callable[[int], ResNet]
"""A function from the number of classes to the network."""


class Built(NamedTuple):
    """What a job makes of its options.

    Attributes:
        task: what is trained on what.
        dataset: its classes and statistics, and the test images.
        facts: what the run folder must keep to use the network; None if the data set's name says
            it.
    """

    task: Task
    dataset: Dataset
    facts: DataFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """The options of a training, whatever its data and initial weights."""

    model: ModelOptions = field(default_factory=ModelOptions)
    images: ImageOptions = field(default_factory=ImageOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    devices: DeviceOptions = field(default_factory=DeviceOptions)
    run: RunOptions = field(default_factory=RunOptions)

    @property
    def is_tutorial(self) -> bool:
        """Whether everything is done as the reference does it, slips included."""
        return False

    def check(self) -> FitConfig:
        """Find what is wrong with the options by themselves.

        Returns:
            The part of them that configures the loop.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        check_choices(self)
        _check_texts(flatten(self))
        config = FitConfig(
            epochs=self.training.epochs,
            batch_size=self.training.batch_size,
            eval_batch_size=self.evaluation.eval_batch_size,
            seed=self.training.seed,
            scheduler_on=self.schedule.scheduler_on,
            evaluate_as_trained=self.is_tutorial,
            train_accuracy=self.evaluation.train_accuracy,
            ema_decay=self.training.ema_decay,
            accumulate_steps=self.training.accumulate_steps,
            resident_gigabytes=self.devices.resident_gigabytes,
            log_every=self.run.log_every,
            checkpoint_every=self.run.checkpoint_every,
            checkpoint_minutes=self.run.checkpoint_minutes,
            parallel=self.devices.parallel,
            reduce_dtype=self.devices.reduce_dtype,
        )
        self.optimizer.settled(config.batch_size).build()
        self.training.check()
        self.schedule.check(config.epochs)
        self.model.check()
        self.images.check()
        self.run.check()
        sizes = len(self.images.sides)
        if sizes > config.epochs:
            raise ValueError(
                f"`progressive` (={self.images.progressive}) makes {sizes} sizes, `crop` included, "
                f"and `epochs` (={config.epochs}) must be at least as many"
            )
        return config

    @property
    def defaults(self) -> dict[str, Any]:
        """What options stand for in an older run that does not say them, by their flat names."""
        return default_options(type(self))

    def resolve(self) -> Self:
        """Return the same job with all options settled that depend on the machine or on files.

        Raises:
            ValueError: if they cannot be settled, or do not go together.
        """
        lr = self.optimizer.settled(self.training.batch_size).lr
        return override(self, dtype=self.model.resolved_dtype, lr=lr)

    @abstractmethod
    def build(self, create_model: CreateModel | None = None) -> Built:
        """Read the data and make the task; all options are settled.

        Args:
            create_model: makes the network; None makes that of the options.

        Raises:
            ValueError: if the data or the weights cannot be used.
        """

    def check_found(self, facts: FolderFacts) -> None:
        """Print what a folder of images holds, on standard error, once for all processes.

        Args:
            facts: its classes, images, and what was passed over.

        Raises:
            ValueError: if it has fewer training images than a batch.
        """
        if processes.is_first():
            for line in facts.lines:
                tell(line)
        steps_per_epoch(sum(facts.counts["train"]), self.training.batch_size)

    def build_transform(self, dataset: Dataset, side: int | None = None) -> Transform:
        """Make the transform of images of the data set.

        Args:
            dataset: the data set, whose images have one size.
            side: side of the crop in training, one of `images.sides`; None is for the evaluation.

        Raises:
            ValueError: if a channel has the same value everywhere, so that its deviation is 0.
        """
        for channel, (mean, std) in enumerate(zip(dataset.mean, dataset.std, strict=True)):
            if std == 0:
                raise ValueError(
                    f"all pixels of the training images have the same value in channel {channel} "
                    f"({255 * mean:g} of 255), and cannot be divided by their deviation, which is "
                    "0; check the images, or name statistics of other images by --normalise"
                )
        _, height, width, _ = dataset.train.images.shape
        of_data = ((height, width), dataset.mean, dataset.std)
        if side is None:
            return self.images.build(*of_data)
        return self.images.build_training(*of_data, side)

    def build_test_transform(self, dataset: Dataset) -> Transform:
        """Make the transform of the test images.

        Args:
            dataset: the data set, whose images have one size.
        """
        transform = self.build_transform(dataset)
        if not self.is_tutorial:
            return transform
        channels = len(dataset.mean)
        return replace(transform, mean=IMAGENET_MEAN[:channels], std=IMAGENET_STD[:channels])

    def build_task(
        self,
        dataset: Dataset,
        *,
        train: Arrays | ImageStream,
        valid: Arrays | ImageStream,
        model: nn.Module,
        tx: optax.GradientTransformation,
        variables: Mapping[str, Any] | None = None,
    ) -> Task:
        """Make the task.

        Args:
            dataset: its classes and statistics.
            train: images to train on.
            valid: images to validate on.
            model: the network.
            tx: the optimizer.
            variables: variables to start from; None initialises new ones.
        """
        transform = self.build_transform(dataset)
        sides, epochs = self.images.sides, self.training.epochs
        # Each size has an equal share of the epochs.
        phases = [
            Phase(
                -(-number * epochs // len(sides)),
                side,
                self.images.build_pipeline(
                    self.build_transform(dataset, side), len(dataset.class_names)
                ),
            )
            for number, side in enumerate(sides)
        ]

        def random_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
            return transform.random(images, keys), labels

        def center_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
            return transform.center(images), labels

        steps = steps_per_epoch(len(train), self.training.batch_size)
        return Task(
            model=model,
            tx=tx,
            controller=self.schedule.build_controller(inverted=self.is_tutorial),
            train=train,
            valid=valid,
            prepare=phases if len(phases) > 1 else phases[0].prepare,
            prepare_valid=random_crop if self.is_tutorial else center_crop,
            schedule=self.schedule.build(self.training.epochs, steps),
            loss_fn=self.training.build(),
            variables=variables,
        )


def _check_texts(values: Mapping[str, Any]) -> None:
    """Raise unless every text and path can be written into the files of a run.

    Args:
        values: the options by their flat names.

    Raises:
        ValueError: for a path in another encoding.
    """
    for name, value in values.items():
        for text in value if isinstance(value, tuple) else (value,):
            try:
                str(text).encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"`{name}` (={printable(str(text))}) is not UTF-8, so that no file can keep "
                    "it; rename it, or name a link to it"
                ) from None
