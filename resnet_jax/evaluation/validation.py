"""Checks shared by the metrics and the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def class_indices(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Return `values` as int64 class indices `[n]`.

    Args:
        name: name of the caller's argument, for the error message.
        values: integers ≥ 0, at least one.

    Raises:
        ValueError: if the rank is not 1, there is no entry, the dtype is not an integer, or an
            entry is negative.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have one axis, [n]; its shape is {array.shape}")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty; at least one example is needed")
    if array.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integer class indices; its dtype is {array.dtype}")
    if array.min() < 0:
        raise ValueError(f"`{name}` must hold class indices ≥ 0; its smallest is {array.min()}")
    return array.astype(np.int64)


def paired_indices(
    labels: ArrayLike, predictions: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels and predictions as int64 class indices of the same length.

    Args:
        labels: true class indices `[n]`.
        predictions: predicted class indices `[n]`.

    Raises:
        ValueError: if either is not a list of class indices, or if the lengths differ.
    """
    true = class_indices("labels", labels)
    predicted = class_indices("predictions", predictions)
    if len(true) != len(predicted):
        raise ValueError(
            f"`labels` ({len(true)} entries) and `predictions` ({len(predicted)} entries) "
            "must have the same length"
        )
    return true, predicted


def class_probabilities(probabilities: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return probabilities of the classes as float64 `[n, classes]`.

    Args:
        probabilities: numbers `[n, classes]`.
        count: number of labels, n.

    Raises:
        ValueError: if the shape is another.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or len(values) != count or values.shape[1] == 0:
        raise ValueError(
            f"`probabilities` must have the shape [n, classes] with n = {count}, as `labels` has; "
            f"its shape is {values.shape}"
        )
    return values


def count_matrix(matrix: ArrayLike) -> NDArray[np.int64]:
    """Return a confusion matrix as int64 counts `[classes, classes]`.

    Args:
        matrix: square matrix of integers ≥ 0.

    Raises:
        ValueError: if it is not square, is empty, has another dtype, or holds a negative count.
    """
    array = np.asarray(matrix)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
        raise ValueError(f"`matrix` must be square, [classes, classes]; its shape is {array.shape}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"`matrix` must hold integer counts; its dtype is {array.dtype}")
    if array.min() < 0:
        raise ValueError(f"`matrix` must hold counts ≥ 0; its smallest is {array.min()}")
    return array.astype(np.int64)


def check_class_names(class_names: Sequence[str | int], num_classes: int) -> None:
    """Raise ValueError unless there is exactly one name per class."""
    if len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` ({len(class_names)} names) must have one name for each of the "
            f"{num_classes} classes"
        )
