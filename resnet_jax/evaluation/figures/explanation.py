"""Images with the regions that led to the predicted class."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..validation import class_indices
from .examples import example_titles, pictures
from .style import COLUMN_WIDTH, FONT_SIZE, VERMILION, figure_style, new_figure

_COLUMNS = 4


@figure_style()
def plot_explanations(
    images: ArrayLike,
    predictions: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str | int],
    *,
    cam: ArrayLike,
    saliency: ArrayLike,
) -> Figure:
    """Show up to four images, the same images overlaid with Grad-CAM, and their input gradients.

    Each map is scaled by its own largest value. A wrong prediction has a vermilion title.

    Args:
        images: images that are not normalised, `[n, height, width, channels]`, as
            `show_examples` accepts them.
        predictions: predicted class indices `[n]`, the classes that the maps explain.
        labels: true class indices `[n]`.
        class_names: names by class index; any text, of which nothing is markup, or numbers.
        cam: maps from `grad_cam`, `[n, height', width']`.
        saliency: maps from `input_saliency`, `[n, height, width]`.

    Raises:
        ValueError: if the images or maps have another shape, dtype or range, if the lengths differ,
            or if a class has no name.
    """
    shown = pictures(images)
    predicted = class_indices("predictions", predictions)
    true = class_indices("labels", labels)
    maps = {"cam": np.asarray(cam), "saliency": np.asarray(saliency)}
    for name, values in maps.items():
        if values.ndim != 3:
            raise ValueError(f"`{name}` must be [n, height, width]; its shape is {values.shape}")
    for name, values in {"predictions": predicted, "labels": true, **maps}.items():
        if len(values) != len(shown):
            raise ValueError(
                f"`{name}` ({len(values)} entries) must have one entry per image ({len(shown)})"
            )
    for name, values in {"predictions": predicted, "labels": true}.items():
        if values.max() >= len(class_names):
            raise ValueError(
                f"`{name}` holds class {values.max()}; `class_names` has {len(class_names)} names"
            )
    shown, predicted, true = shown[:_COLUMNS], predicted[:_COLUMNS], true[:_COLUMNS]
    count, (height, width) = len(shown), shown.shape[1:3]
    heat = np.asarray(
        jax.image.resize(maps["cam"][:count].astype(np.float32), (count, height, width), "linear")
    )
    titles, font_size = example_titles(
        class_names,
        predicted,
        true,
        room=0.9 * 72 * (COLUMN_WIDTH - 0.4) / _COLUMNS,
        largest=FONT_SIZE,
    )

    fig = new_figure(COLUMN_WIDTH, 2.75)
    grid = fig.subplots(3, _COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_linewidth(0.4)
    for axes in grid[:, count:].flat:
        axes.set_axis_off()
    for row, name in zip(grid, ("Image", "Grad-CAM", "Gradient"), strict=True):
        row[0].set_ylabel(name, fontsize=FONT_SIZE)
    for column in range(count):
        image, cam_axes, gradient = grid[:, column]
        wrong = predicted[column] != true[column]
        image.set_title(
            titles[column],
            fontsize=font_size,
            loc="left",
            pad=3,
            color=VERMILION if wrong else "black",
        )
        for axes in (image, cam_axes):
            # The image below the map is grey, so that its colours do not mix with the map's.
            picture = shown[column] if axes is image else shown[column].mean(-1)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        cam_axes.imshow(_scaled(heat[column]), cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        gradient.imshow(_scaled(maps["saliency"][column]), cmap="inferno", vmin=0, vmax=1)
    return fig


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `values` divided by the largest of them, unless that is 0."""
    top = values.max()
    return values / top if top > 0 else values
