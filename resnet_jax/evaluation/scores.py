"""Accuracy, overall and per class, and precision, recall and F1 per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..storage.printable import name_text
from .validation import check_class_names, count_matrix, paired_indices


class ClassScores(TypedDict):
    """Scores of one class, as fractions, and its number of examples."""

    precision: float
    """Fraction of the predictions of the class that are right."""
    recall: float
    """Fraction of the examples of the class that are predicted as the class."""
    f1: float
    """Harmonic mean of precision and recall."""
    support: int
    """Number of examples of the class."""


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the fraction of predictions that equal their label.

    Args:
        labels: true class indices `[n]`, n ≥ 1.
        predictions: predicted class indices `[n]`.

    Raises:
        ValueError: if an argument is not a list of integers ≥ 0 or is empty, or if the lengths
            differ.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    true, predicted = paired_indices(labels, predictions)
    return int(np.count_nonzero(true == predicted)) / len(true)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64], empty: float) -> NDArray[np.float64]:
    """Return `part / whole`, and `empty` where `whole` is 0."""
    result = np.full(len(whole), empty, dtype=np.float64)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def per_class_accuracy(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of the examples of each true class that are predicted correctly.

    Args:
        matrix: counts `[classes, classes]` with true classes as rows, from `confusion_matrix`.

    Returns:
        float64 fractions `[classes]`; nan for a class without examples.

    Raises:
        ValueError: if `matrix` is not a square matrix of counts.

    >>> per_class_accuracy([[3, 1], [0, 0]])
    array([0.75,  nan])
    """
    counts = count_matrix(matrix)
    return _ratio(counts.diagonal(), counts.sum(axis=1), np.nan)


def class_report(
    matrix: ArrayLike, *, class_names: Sequence[str | int] | None = None, zero_division: float = 0.0
) -> dict[str, ClassScores]:
    """Return precision, recall, F1 and support of each class.

    With TP, FP and FN the true positives, false positives and false negatives of a class::

        precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2·TP / (2·TP + FP + FN)

    Args:
        matrix: counts `[classes, classes]` with true classes as rows, from `confusion_matrix`.
        class_names: one distinct name per class, text or a whole number; None uses "0", "1", ….
        zero_division: value of a ratio whose denominator is 0; nan is allowed.

    Returns:
        The scores by class name, in the order of the matrix.

    Raises:
        ValueError: if `matrix` is not a square matrix of counts, or if there are too few or too
            many names or two are equal.
        TypeError: if a name is neither text nor a whole number.

    References:
        scikit-learn, `sklearn.metrics.precision_recall_fscore_support`.

    >>> class_report([[3, 1], [0, 4]], class_names=["cat", "dog"])["dog"]
    {'precision': 0.8, 'recall': 1.0, 'f1': 0.8888888888888888, 'support': 4}
    """
    counts = count_matrix(matrix)
    given = range(len(counts)) if class_names is None else class_names
    check_class_names(given, len(counts))
    names = [name_text(name) for name in given]
    if len(set(names)) != len(names):
        raise ValueError(f"`class_names` (={names}) must be distinct")
    hits, support, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision = _ratio(hits, predicted, zero_division)
    recall = _ratio(hits, support, zero_division)
    f1 = _ratio(2 * hits, support + predicted, zero_division)
    return {
        name: ClassScores(
            precision=float(precision[row]),
            recall=float(recall[row]),
            f1=float(f1[row]),
            support=int(support[row]),
        )
        for row, name in enumerate(names)
    }
