"""The confusion matrix: how often each class is predicted as each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..storage import whole_number
from .validation import paired_indices


def confusion_labels(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
    """Return the class of each row and column of the default `confusion_matrix`.

    Args:
        labels: true class indices `[n]`.
        predictions: predicted class indices `[n]`.

    Returns:
        The classes that occur in either argument, ascending. A single class is joined by class 0,
        or by class 1 if it is class 0 itself, so that the matrix is never smaller than 2×2.

    Raises:
        ValueError: if an argument is not a list of integers ≥ 0 or is empty, or if the lengths
            differ.

    >>> confusion_labels([3, 3], [3, 3]).tolist()
    [0, 3]
    """
    true, predicted = paired_indices(labels, predictions)
    seen = np.union1d(true, predicted)
    if len(seen) == 1:
        seen = np.array([0, max(int(seen[0]), 1)], dtype=np.int64)
    return seen


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, *, num_classes: int | None = None
) -> NDArray[np.int64]:
    """Count the examples of each true class (rows) by predicted class (columns).

    Args:
        labels: true class indices `[n]`, n ≥ 1.
        predictions: predicted class indices `[n]`.
        num_classes: number of classes; all of 0 … num_classes − 1 get a row and a column. None
            uses only the classes that `confusion_labels` returns.

    Returns:
        int64 counts `[classes, classes]` that sum to n.

    Raises:
        ValueError: if an argument is not a list of integers ≥ 0 or is empty, if the lengths
            differ, or if a class is not below `num_classes`.
        TypeError: if `num_classes` is no whole number.

    >>> confusion_matrix([0, 0, 4], [0, 4, 4]).tolist()
    [[1, 1], [0, 1]]
    >>> confusion_matrix([0, 0, 2], [0, 2, 2], num_classes=3).tolist()
    [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    """
    true, predicted = paired_indices(labels, predictions)
    if num_classes is None:
        classes = confusion_labels(true, predicted)
        true, predicted = np.searchsorted(classes, true), np.searchsorted(classes, predicted)
        size = len(classes)
    else:
        num_classes = whole_number("num_classes", num_classes)
        for name, values in (("labels", true), ("predictions", predicted)):
            if values.max() >= num_classes:
                raise ValueError(
                    f"`{name}` holds class {values.max()}; "
                    f"with `num_classes` (={num_classes}) the last is {num_classes - 1}"
                )
        size = num_classes
    counts = np.bincount(true * size + predicted, minlength=size * size)
    return counts.reshape(size, size).astype(np.int64)
