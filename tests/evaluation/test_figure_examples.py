from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import same_color

from resnet_jax.evaluation import show_examples

NAMES = ["airplane", "automobile", "cat"]


def draw(count, channels=3):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    predictions = rng.integers(0, 3, count)
    labels = rng.integers(0, 3, count)
    return images, predictions, labels, show_examples(images, predictions, labels, NAMES)


def test_fifteen_titled_images_three_by_five():
    images, predictions, labels, figure = draw(20)
    assert len(figure.axes) == 15
    assert {axes.get_subplotspec().get_gridspec().get_geometry() for axes in figure.axes} == {
        (3, 5)
    }
    for index, axes in enumerate(figure.axes):
        title = f"P: {NAMES[predictions[index]]}\nT: {NAMES[labels[index]]}"
        assert axes.get_title(loc="left") == title
        shown = axes.images[0].get_array()
        np.testing.assert_allclose(shown, images[index] / 255, atol=1e-6)


def test_wrong_predictions_are_marked():
    _, predictions, labels, figure = draw(15)
    assert 0 < np.sum(predictions == labels) < 15
    for predicted, true, axes in zip(predictions, labels, figure.axes, strict=True):
        frame = axes.spines["top"]
        # axes.title is the centred one; the left one holds the text.
        plain = same_color(axes._left_title.get_color(), "black")
        assert plain == same_color(frame.get_edgecolor(), "black") == (predicted == true)
        assert (frame.get_linewidth() > 1) == (predicted != true)


def test_places_without_an_image_stay_empty():
    *_, figure = draw(4)
    assert [len(axes.images) for axes in figure.axes] == [1] * 4 + [0] * 11
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 11


def test_grey_images():
    images, *_, figure = draw(3, channels=1)
    shown = figure.axes[0].images[0]
    np.testing.assert_allclose(np.squeeze(shown.get_array()), images[0, ..., 0] / 255, atol=1e-6)
    # Fixed limits: a dark picture is shown dark.
    assert shown.get_clim() == (0, 1)
    assert shown.get_cmap().name == "gray"


def test_floats_are_shown_as_they_are(caplog):
    images = np.full((1, 4, 4, 3), 0.25, dtype=np.float64)
    images[0, 0, 0] = [-1e-6, 1 + 1e-6, 0.5]
    figure = show_examples(images, [0], [0], NAMES)
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, images[0], atol=1e-5)
    assert shown.min() == 0
    assert shown.max() == 1
    # Matplotlib would clip as well, and complain about each picture.
    assert not caplog.records


@pytest.mark.parametrize("name", ["cat", "aquarium_fish", "a_name_that_is_rather_long"])
def test_titles_fit_their_column(name):
    images = np.zeros((15, 8, 8, 3), np.uint8)
    figure = show_examples(images, [0] * 15, [0] * 15, [name])
    figure.draw_without_rendering()
    titles = [axes._left_title.get_window_extent() for axes in figure.axes]
    for left, right in itertools.pairwise(titles):
        assert left.x1 < right.x0 or right.y0 < left.y0
    assert max(title.x1 for title in titles) <= figure.bbox.x1
    for title, axes in zip(titles[5:], figure.axes, strict=False):
        assert title.y1 < axes.get_window_extent().y0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": np.zeros((2, 4, 4), np.uint8)},
            "`images` must be [n, height, width, channels] with 1 or 3 channels and n ≥ 1; "
            "its shape is (2, 4, 4)",
        ),
        (
            {"images": np.zeros((2, 4, 4, 2), np.uint8)},
            "`images` must be [n, height, width, channels] with 1 or 3 channels and n ≥ 1; "
            "its shape is (2, 4, 4, 2)",
        ),
        (
            {"images": np.zeros((0, 4, 4, 3), np.uint8)},
            "`images` must be [n, height, width, channels] with 1 or 3 channels and n ≥ 1; "
            "its shape is (0, 4, 4, 3)",
        ),
        (
            {"images": np.zeros((2, 4, 4, 3), np.int32)},
            "`images` must be uint8 or floats; its dtype is int32",
        ),
        (
            {"images": np.linspace(-2, 2, 96).reshape(2, 4, 4, 3)},
            "`images` must be floats in [0, 1], not normalised; they range from -2 to 2",
        ),
        (
            {"images": np.full((2, 4, 4, 3), np.nan)},
            "`images` must be floats in [0, 1], not normalised; they range from nan to nan",
        ),
        ({"labels": [0]}, "`labels` (1 entries) must have one entry per image (2)"),
        (
            {"predictions": [0, 1, 2]},
            "`predictions` (3 entries) must have one entry per image (2)",
        ),
        ({"labels": [0, 3]}, "`labels` holds class 3; `class_names` has 3 names"),
        (
            {"predictions": [0.0, 1.0]},
            "`predictions` must hold integer class indices; its dtype is float64",
        ),
    ],
)
def test_bad_input(change, message):
    arguments = {
        "images": np.zeros((2, 4, 4, 3), np.uint8),
        "predictions": [0, 1],
        "labels": [1, 1],
        "class_names": NAMES,
    }
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        show_examples(**(arguments | change))
