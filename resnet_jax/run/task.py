"""What is trained on what, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import optax
from flax import linen as nn

from ..data import Arrays, ImageStream
from ..training import (
    LossFunction,
    Prepare,
    ReduceLROnPlateau,
    Schedule,
    TrainState,
    cross_entropy,
)
from .record import History


@dataclass(frozen=True)
class Phase:
    """A part of the training with images of a size of its own.

    Attributes:
        first_epoch: the epoch that it begins with, counted from 0.
        side: height and width of the training images, in pixels; a stream cuts its random crops
            to it.
        prepare: transforms a training batch on the device, to this size.
    """

    first_epoch: int
    side: int
    prepare: Prepare


@dataclass(frozen=True)
class Task:
    """What is trained on what.

    Attributes:
        model: a linen module from images to logits.
        tx: an optimizer of `make_optimizer`, or any other that keeps its learning rate in its
            state by `optax.inject_hyperparams`.
        controller: sets the learning rate after each epoch; None leaves it alone.
        train: images to train on, in memory or read when they are needed.
        valid: images to validate on, likewise.
        prepare: transforms a training batch on the device; or phases that each do so from an epoch
            on, in their order, the first from epoch 0. The step is compiled once for each.
        prepare_valid: transforms a batch for the training or validation accuracy.
        schedule: multiplies the learning rate, by the step; None leaves it alone.
        loss_fn: the training loss per example.
        variables: the model's, to start from (fine-tuning); None initialises new ones.
    """

    model: nn.Module
    tx: optax.GradientTransformation
    controller: ReduceLROnPlateau | None
    train: Arrays | ImageStream
    valid: Arrays | ImageStream
    prepare: Prepare | Sequence[Phase]
    prepare_valid: Prepare
    schedule: Schedule | None = None
    loss_fn: LossFunction = cross_entropy
    variables: Mapping[str, Any] | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the training; none where one `prepare` is for all epochs.

        Raises:
            ValueError: if they do not begin with epoch 0, or are not in order.
        """
        if not isinstance(self.prepare, Sequence):
            return ()
        firsts = [phase.first_epoch for phase in self.prepare]
        if firsts[:1] != [0] or any(before >= after for before, after in pairwise(firsts)):
            raise ValueError(
                f"`prepare` has phases from the epochs {firsts} on; they must begin with 0 and "
                "ascend"
            )
        return tuple(self.prepare)

    @property
    def prepares(self) -> tuple[Prepare, ...]:
        """What transforms the training batches of each phase, or of all epochs."""
        if isinstance(self.prepare, Sequence):
            return tuple(phase.prepare for phase in self.phases)
        return (self.prepare,)


@dataclass(frozen=True)
class FitResult:
    """What `fit` returns.

    Attributes:
        history: losses and accuracies.
        state: the state after the last step.
        learning_rates: the rate that the last step of each epoch used.
        best_epoch: the first epoch with the highest validation accuracy, counted from 1.
        best_step: optimizer steps done at its end.
        seconds: time of training and evaluation, summed over the resumed parts.
        image_sizes: height and width of the training images of each epoch, in pixels; empty if the
            task has no phases.
        images_per_second: training images over the time spent in training steps of this process,
            without its first step (which compiles); None if it made no second step.
        epoch_parts: what the seconds of each epoch were spent on, by the names of `clock.PARTS`;
            empty for an epoch of an older version.
    """

    history: History
    state: TrainState
    learning_rates: list[float]
    best_epoch: int
    best_step: int
    seconds: float
    images_per_second: float | None
    image_sizes: Sequence[int] = ()
    epoch_parts: Sequence[Mapping[str, float]] = ()


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch; the ragged tail is dropped.

    Args:
        num_images: training images.
        batch_size: images per step.

    Raises:
        ValueError: if there is not one full batch.
    """
    if batch_size > num_images:
        raise ValueError(
            f"`batch_size` (={batch_size}) must not exceed the number of training images "
            f"(={num_images})"
        )
    return num_images // batch_size


def check_labels(arrays: Arrays | ImageStream, num_classes: int, name: str) -> None:
    """Raise unless all labels are classes of the model.

    Args:
        arrays: images and labels.
        num_classes: classes of the model.
        name: what the images are, for the message.

    Raises:
        ValueError: naming the first label that is not.
    """
    wrong = np.flatnonzero((arrays.labels < 0) | (arrays.labels >= num_classes))
    if wrong.size:
        raise ValueError(
            f"the label of {name} image {wrong[0]} (={arrays.labels[wrong[0]]}) must be in "
            f"[0, {num_classes}), the classes of the model; the same is true of {wrong.size} "
            "images in all"
        )
