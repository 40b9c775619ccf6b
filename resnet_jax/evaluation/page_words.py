"""What the figures of a report show, in words, for readers who cannot see them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def describe_figures(report: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each figure of the page, by the figure's name.

    Args:
        report: the values of the run's `report.json`.
    """
    valid, train = report["valid_accuracy"], report.get("train_accuracy")
    epochs = f"{len(valid)} epochs" if len(valid) > 1 else "1 epoch"
    accuracy = f"Lines of the accuracy over {epochs}: validation {_span(valid)}"
    if train:
        accuracy += f", training {_span(train)}"
    counts = report["confusion_matrix"]
    right = sum(row[index] for index, row in enumerate(counts))
    rates = report["learning_rates"]
    return {
        "loss": f"Lines of the training loss over {epochs}: each minibatch, and the running "
        "average.",
        "accuracy": f"{accuracy}.",
        "learning_rate": f"Line of the learning rate over {epochs}: {rates[0]:.3g} in the first, "
        f"{rates[-1]:.3g} in the last.",
        "calibration": "Points of the accuracy over the confidence beside the diagonal of a "
        "perfectly calibrated network, and bars of the number of predictions; the expected "
        f"calibration error is {percent(report['ece'])}.",
        "confusion_matrix": f"Confusion matrix of {len(counts)} classes: {right} of "
        f"{sum(map(sum, counts))} test images are on the diagonal, which means right. The scores "
        "of each class are in the table above.",
        "grad_cam": "The first test images in three rows: as they are, overlaid with Grad-CAM, "
        "and the gradients of their pixels.",
        "examples": "Grid of the first test images with their predicted and true classes; the "
        "most confident mistakes are listed above.",
    }


def percent(fraction: float | None, digits: int = 2) -> str:
    r"""Return a fraction in %, with a space that does not break; a dash for None and NaN.

    Args:
        fraction: the number.
        digits: number of decimals.

    >>> percent(0.5).replace("\N{NO-BREAK SPACE}", " "), percent(None)
    ('50.00 %', '–')
    """
    if fraction is None or not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


def _span(accuracies: Sequence[float | None]) -> str:
    """Return the first, the last and the best of the accuracies of a training."""
    first, last = accuracies[0], accuracies[-1]
    if len(accuracies) == 1:
        return percent(first)
    best = max((value for value in accuracies if value is not None), default=None)
    at_best = f", at best {percent(best)} in epoch {accuracies.index(best) + 1}"
    return f"from {percent(first)} to {percent(last)}{'' if best == last else at_best}"
