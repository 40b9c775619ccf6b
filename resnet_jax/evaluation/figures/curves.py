"""Training curves: loss per iteration, accuracy per epoch."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ...storage import whole_number
from .style import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    SKY_BLUE,
    VERMILION,
    figure_style,
    new_figure,
    style_axes,
)

_SETTLED = 1000  # iterations after which the peak of the first steps is over
_REFERENCE_YLIM = (60.0, 100.0)  # %


def _history(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as finite float64 `[n]`, n ≥ 1, or raise ValueError."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"`{name}` must be a list of at least one number; its shape is {array.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"`{name}` must be finite; entry {bad[0]} is {array[bad[0]]}")
    return array


def _percentages(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as float64 `[n]` in 0 … 100, n ≥ 1, or raise ValueError."""
    array = _history(name, values)
    outside = array[(array < 0) | (array > 100)]
    if outside.size:
        raise ValueError(f"`{name}` must be in %, 0 to 100; it holds {outside[0]}")
    return array


def _epoch_ticks(num_epochs: int) -> NDArray[np.int64]:
    """Return ticks every 10 epochs; closer in a short run, wider in a long one."""
    if num_epochs <= 10:
        step = 1
    elif num_epochs < 20:
        step = 2
    else:
        step = 10 * math.ceil(num_epochs / 120)
    return np.arange(0, num_epochs + 1, step)


def running_average(
    values: NDArray[np.float64], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the running average of `values`, and the middle of the window of each average.

    Args:
        values: numbers `[n]`.
        window: width of the window, 1 to n.

    Returns:
        The middles of the windows, as positions in `values`, and the averages, both
        `[n - window + 1]`.

    Raises:
        ValueError: if the window is below 1 or above n, or the values have another shape.
        TypeError: if it is no whole number.

    >>> running_average(np.array([1.0, 3.0, 5.0]), 2)
    (array([0.5, 1.5]), array([2., 4.]))
    """
    window = whole_number("window", window)
    if np.ndim(values) != 1:
        raise ValueError(f"`values` must have one axis, [n]; its shape is {np.shape(values)}")
    if window > len(values):
        raise ValueError(
            f"`window` (={window}) must be at most {len(values)}, the number of `values`"
        )
    averages = np.convolve(values, np.full(window, 1 / window), mode="valid")
    middles = np.arange(len(averages), dtype=np.float64) + (window - 1) / 2
    return middles, averages


@figure_style()
def plot_training_loss(
    minibatch_losses: ArrayLike,
    num_epochs: int,
    iterations_per_epoch: int,
    *,
    averaging_iterations: int = 100,
) -> Figure:
    """Plot the loss of each minibatch and its running average.

    The lower x-axis counts epochs, with a label every 10 (every one or two below 20 epochs, every
    20 or more above 120). The y-axis ends at 1.5 times the largest loss after iteration 1000, so
    that the peak of the first steps does not flatten the rest; with at most 1000 losses, it ends
    at 1.5 times the largest loss after the first tenth.

    Args:
        minibatch_losses: finite losses `[iterations]`; there may be fewer than
            `num_epochs * iterations_per_epoch` if the run stopped early.
        num_epochs: number of epochs that the x-axis spans.
        iterations_per_epoch: number of minibatches per epoch.
        averaging_iterations: width of the averaging window. Each average is drawn at the middle
            of its window. Fewer losses than that are averaged over a tenth of their number.

    Returns:
        The figure; its axes are those of the loss and of the epochs.

    Raises:
        ValueError: if a number is below 1, or if the losses are empty, not finite, or more than
            the epochs account for.
        TypeError: if a number is no whole number.
    """
    num_epochs = whole_number("num_epochs", num_epochs)
    iterations_per_epoch = whole_number("iterations_per_epoch", iterations_per_epoch)
    window = whole_number("averaging_iterations", averaging_iterations)
    losses = _history("minibatch_losses", minibatch_losses)
    iterations = num_epochs * iterations_per_epoch
    if len(losses) > iterations:
        raise ValueError(
            f"`minibatch_losses` has {len(losses)} entries, more than `num_epochs` (={num_epochs}) "
            f"times `iterations_per_epoch` (={iterations_per_epoch})"
        )
    if window > len(losses):
        window = max(1, len(losses) // 10)
    middles, average = running_average(losses, window)

    fig = new_figure(COLUMN_WIDTH, 2.8)
    axes = fig.add_subplot()
    # A line with a single point is invisible, so it gets a marker.
    axes.plot(
        np.arange(len(losses)),
        losses,
        color=SKY_BLUE,
        linewidth=0.5,
        marker="." if len(losses) == 1 else None,
        label="Minibatch loss",
    )
    axes.plot(
        middles,
        average,
        color=VERMILION,
        linewidth=1.4,
        marker="." if len(average) == 1 else None,
        label=f"Running average ({window})",
    )
    settled = _SETTLED if len(losses) > _SETTLED else len(losses) // 10
    top = 1.5 * losses[settled:].max()
    axes.set_ylim(0, top if top > 0 else 1)
    axes.set_xlim(0, iterations)
    axes.set_xlabel("Iterations")
    axes.set_ylabel("Loss")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.legend(fontsize=FONT_SIZE, frameon=False, loc="upper right")
    style_axes(axes)

    epochs = axes.twiny()
    ticks = _epoch_ticks(num_epochs)
    epochs.set_xlim(axes.get_xlim())
    epochs.set_xticks(ticks * iterations_per_epoch, [str(tick) for tick in ticks])
    epochs.xaxis.set_ticks_position("bottom")
    epochs.xaxis.set_label_position("bottom")
    epochs.spines["bottom"].set_position(("outward", 32))
    epochs.set_xlabel("Epochs")
    style_axes(epochs)
    epochs.set_facecolor("none")
    return fig


@figure_style()
def plot_accuracy(
    train_accuracy: ArrayLike | None,
    valid_accuracy: ArrayLike,
    *,
    train_label: str = "Training",
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Plot training and validation accuracy over the epochs.

    Args:
        train_accuracy: accuracy after each epoch in %, `[epochs]`; None draws no such curve.
        valid_accuracy: accuracy after each epoch in %, `[epochs]`.
        train_label: name of the training curve in the legend.
        ylim: limits of the y-axis in %. None uses 60 to 100; if a value is below 60, the lower
            limit is the next multiple of 10 below it.

    Raises:
        ValueError: if a history is empty, not finite or outside 0 … 100, if their lengths differ,
            or if `ylim` is not ascending.
    """
    valid = _percentages("valid_accuracy", valid_accuracy)
    train = valid if train_accuracy is None else _percentages("train_accuracy", train_accuracy)
    if len(train) != len(valid):
        raise ValueError(
            f"`train_accuracy` ({len(train)} epochs) and `valid_accuracy` ({len(valid)} epochs) "
            "must have the same length"
        )
    # Without limits of the caller every value is inside, and markers at 100 % are shown whole.
    clip = ylim is not None
    if ylim is None:
        lowest = min(train.min(), valid.min())
        ylim = (min(_REFERENCE_YLIM[0], 10 * math.floor(lowest / 10)), _REFERENCE_YLIM[1])
    elif not ylim[0] < ylim[1]:
        raise ValueError(f"`ylim` (={ylim}) must be (lower, upper) with lower < upper")

    fig = new_figure(COLUMN_WIDTH, 2.4)
    axes = fig.add_subplot()
    epochs = np.arange(1, len(train) + 1)
    # Markers and dashes distinguish the two curves in black-and-white print as well.
    marked = len(train) <= 30
    if train_accuracy is not None:
        axes.plot(
            epochs,
            train,
            color=BLUE,
            linewidth=1.2,
            marker="o" if marked else None,
            markersize=3,
            clip_on=clip,
            label=train_label,
        )
    axes.plot(
        epochs,
        valid,
        color=VERMILION,
        linewidth=1.2,
        linestyle=(0, (4, 1.5)),
        marker="s" if marked else None,
        markersize=3,
        clip_on=clip,
        label="Validation",
    )
    axes.set_ylim(*ylim)
    axes.set_xlim(0.5, len(train) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Accuracy (%)")
    axes.grid(axis="y", color="0.88", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.legend(fontsize=FONT_SIZE, frameon=False, loc="lower right")
    style_axes(axes)
    return fig
