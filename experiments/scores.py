"""What the test set says of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax import Array

from resnet_jax.data import Dataset, Transform
from resnet_jax.evaluation import (
    Calibration,
    accuracy,
    calibration,
    confusion_matrix,
    predict_logits,
)

Crop = Callable[[Array], Array]
"""Prepares a batch of test images."""


class Scores(NamedTuple):
    """What the test set says of the network.

    Attributes:
        predictions: class of each image.
        probabilities: `[n, classes]`.
        accuracy: fraction of the predictions that are right.
        matrix: confusion matrix, rows true, columns predicted.
        reliability: confidence against accuracy.
    """

    predictions: np.ndarray
    probabilities: np.ndarray
    accuracy: float
    matrix: np.ndarray
    reliability: Calibration


@dataclass(frozen=True)
class _RandomCrop:
    """The transform that crops each batch at random places, always the same ones."""

    transform: Transform
    seed: int

    def __call__(self, images: Array) -> Array:
        return self.transform.random(images, jax.random.key(self.seed))


def make_crop(transform: Transform, random_seed: int | None) -> Crop:
    """Return what prepares a batch of test images.

    Args:
        transform: the transform of the test images.
        random_seed: seed of random crops; None crops in the middle.
    """
    return transform.center if random_seed is None else _RandomCrop(transform, random_seed)


def score(
    model: nn.Module, variables: Mapping[str, Any], dataset: Dataset, crop: Crop, batch_size: int
) -> Scores:
    """Evaluate a network on the test set.

    Args:
        model: the network.
        variables: its variables.
        dataset: the data set.
        crop: prepares a batch of test images.
        batch_size: images at a time.
    """
    images, labels = dataset.test.images, dataset.test.labels
    logits = predict_logits(model, variables, images, crop, batch_size=batch_size)
    predictions, probabilities = logits.argmax(1), np.asarray(jax.nn.softmax(logits))
    return Scores(
        predictions,
        probabilities,
        accuracy(labels, predictions),
        confusion_matrix(labels, predictions, num_classes=len(dataset.class_names)),
        calibration(labels, probabilities),
    )
