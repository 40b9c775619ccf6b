"""Calibration: whether a model is right as often as its probabilities say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..storage import whole_number
from .validation import class_indices, class_probabilities

_SLACK = 1e-3  # rounding error of a softmax in float32


class Calibration(NamedTuple):
    """Predictions in bins of equal width by confidence, the probability of the predicted class.

    Attributes:
        edges: edges of the bins, from 0 to 1, `[bins + 1]`; a bin includes its upper edge only.
        counts: number of predictions in each bin, `[bins]`.
        accuracy: fraction of the predictions in each bin that are right, `[bins]`; nan in an
            empty bin.
        confidence: mean confidence in each bin, a fraction, `[bins]`; nan in an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error, `sum_b counts[b] / n · |accuracy[b] − confidence[b]|`."""
        gaps = np.abs(np.nan_to_num(self.accuracy) - np.nan_to_num(self.confidence))
        return float((self.counts * gaps).sum() / self.counts.sum())


def calibration(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> Calibration:
    """Compare the probability of each prediction with how often such predictions are right.

    Args:
        labels: true class indices `[n]`, n ≥ 1.
        probabilities: probabilities of the classes, as from a softmax, `[n, classes]`; each row
            sums to 1.
        bins: number of bins of equal width between 0 and 1.

    Raises:
        ValueError: if the shapes do not match, a row is not a distribution, a label is not below
            the number of classes, or `bins` is below 1.
        TypeError: if `bins` is no whole number.

    References:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599

    >>> result = calibration([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], bins=2)
    >>> result.counts.tolist(), round(result.error, 4)
    ([0, 3], 0.1333)
    """
    true = class_indices("labels", labels)
    values = class_probabilities(probabilities, len(true))
    wrong = ~((np.abs(values.sum(1) - 1) <= _SLACK) & (values >= 0).all(1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"`probabilities` must be at least 0 and sum to 1 in each row; row {row} is "
            f"{values[row].tolist()}"
        )
    if true.max() >= values.shape[1]:
        raise ValueError(
            f"`labels` holds class {true.max()}; `probabilities` has {values.shape[1]} classes"
        )
    bins = whole_number("bins", bins)
    edges = np.linspace(0, 1, bins + 1)
    confidence, right = values.max(1).clip(max=1), values.argmax(1) == true
    index = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(index, minlength=bins)
    empty = np.where(counts > 0, counts, np.nan)
    return Calibration(
        edges=edges,
        counts=counts.astype(np.int64),
        accuracy=np.bincount(index, weights=right, minlength=bins) / empty,
        confidence=np.bincount(index, weights=confidence, minlength=bins) / empty,
    )
