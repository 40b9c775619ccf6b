"""A grid of test images with their predicted and true classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..validation import class_indices
from .names import SMALLEST, figure_names, text_width
from .style import COLUMN_WIDTH, VERMILION, figure_style, new_figure

_ROWS, _COLUMNS = 3, 5
_HEIGHT = 2.8  # inches
_SLACK = 1e-3  # rounding error outside of [0, 1] after normalising and denormalising


@figure_style()
def show_examples(
    images: ArrayLike, predictions: ArrayLike, labels: ArrayLike, class_names: Sequence[str | int]
) -> Figure:
    """Show the first 15 images in a 3×5 grid, each titled with its predicted and true class.

    A wrong prediction has a thick vermilion frame and a vermilion title. With fewer than 15
    images, the last places stay empty.

    Args:
        images: images that are not normalised, `[n, height, width, channels]` with 1 or 3
            channels: uint8, or floats in [0, 1] such as `Transform.denormalise` returns.
        predictions: predicted class indices `[n]`.
        labels: true class indices `[n]`.
        class_names: names by class index; any text, of which nothing is markup, or numbers.

    Raises:
        ValueError: if the images have another shape, dtype or range, if the lengths differ, or if
            a class has no name.
    """
    floats = pictures(images)
    predicted, true = class_indices("predictions", predictions), class_indices("labels", labels)
    for name, values in (("predictions", predicted), ("labels", true)):
        if len(values) != len(floats):
            raise ValueError(
                f"`{name}` ({len(values)} entries) must have one entry per image ({len(floats)})"
            )
        if values.max() >= len(class_names):
            raise ValueError(
                f"`{name}` holds class {values.max()}; `class_names` has {len(class_names)} names"
            )

    shown = min(len(floats), _ROWS * _COLUMNS)
    titles, font_size = example_titles(
        class_names,
        predicted[:shown],
        true[:shown],
        room=0.9 * 72 * COLUMN_WIDTH / _COLUMNS,
        largest=7.5,
    )

    fig = new_figure(COLUMN_WIDTH, _HEIGHT)
    grid = fig.subplots(_ROWS, _COLUMNS)
    for index, axes in enumerate(grid.flat):
        if index >= shown:
            axes.set_axis_off()
            continue
        wrong = predicted[index] != true[index]
        axes.imshow(floats[index], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(
            titles[index],
            fontsize=font_size,
            color=VERMILION if wrong else "black",
            loc="left",
            pad=3,
        )
        for spine in axes.spines.values():
            spine.set_edgecolor(VERMILION if wrong else "black")
            spine.set_linewidth(1.6 if wrong else 0.4)
    return fig


def example_titles(
    class_names: Sequence[str | int],
    predicted: NDArray[np.int64],
    true: NDArray[np.int64],
    *,
    room: float,
    largest: float,
) -> tuple[list[str], float]:
    """Return the two lines above each image, predicted and true class, and their font size.

    Args:
        class_names: names by class index; any text, or numbers.
        predicted: predicted class indices `[n]`.
        true: true class indices `[n]`.
        room: width of a column, in points, which the longest line fits.
        largest: font size where all lines are short, in points.
    """
    marks = "P: ", "T: "
    names = figure_names(class_names, room=room - SMALLEST * max(map(text_width, marks)))
    titles = [
        "\n".join(mark + names[index] for mark, index in zip(marks, pair, strict=True))
        for pair in zip(predicted, true, strict=True)
    ]
    longest = max(text_width(line) for title in titles for line in title.split("\n"))
    return titles, min(largest, room / longest)


def pictures(images: ArrayLike) -> NDArray[np.float32]:
    """Return images that are not normalised as float32 in [0, 1].

    Args:
        images: `[n, height, width, channels]` with 1 or 3 channels: uint8, or floats in [0, 1].

    Raises:
        ValueError: if the images have another shape, dtype or range.
    """
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.size == 0:
        raise ValueError(
            "`images` must be [n, height, width, channels] with 1 or 3 channels and n ≥ 1; "
            f"its shape is {array.shape}"
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind != "f":
        raise ValueError(f"`images` must be uint8 or floats; its dtype is {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ValueError(
            f"`images` must be floats in [0, 1], not normalised; they range from {low:.3g} "
            f"to {high:.3g}"
        )
    return array.astype(np.float32).clip(0, 1)
