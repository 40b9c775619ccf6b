"""What is trained on what, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
class Task:
    """What is trained on what.

    Attributes:
        model: a linen module from images to logits.
        tx: an optimizer of `make_optimizer`, or any other that keeps its learning rate in its
            state by `optax.inject_hyperparams`.
        controller: sets the learning rate after each epoch; None leaves it alone.
        train: images to train on, in memory or read when they are needed.
        valid: images to validate on, likewise.
        prepare: transforms a training batch on the device.
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
    prepare: Prepare
    prepare_valid: Prepare
    schedule: Schedule | None = None
    loss_fn: LossFunction = cross_entropy
    variables: Mapping[str, Any] | None = None


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
        images_per_second: training images over the time spent in training steps of this process,
            without its first step (which compiles); None if it made no second step.
    """

    history: History
    state: TrainState
    learning_rates: list[float]
    best_epoch: int
    best_step: int
    seconds: float
    images_per_second: float | None


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
