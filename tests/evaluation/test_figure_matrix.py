from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from resnet_jax.evaluation import plot_confusion_matrix

# Row 0 is split evenly, row 1 just above a half, row 2 has no example.
MATRIX = np.array([[5, 5, 0], [0, 51, 49], [0, 0, 0]])
NAMES = ["airplane", "automobile", "ship"]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_counts_by_default():
    figure = plot_confusion_matrix(MATRIX)
    (axes,) = figure.axes
    assert texts(figure) == ["5", "5", "0", "0", "51", "49", "0", "0", "0"]
    assert [text.get_position() for text in axes.texts[:4]] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted label", "True label")
    assert labels(axes.xaxis) == labels(axes.yaxis) == ["0", "1", "2"]
    # The first row is at the top.
    assert axes.get_ylim() == (2.5, -0.5)


def test_shares_alone_and_below_the_counts():
    shares = texts(plot_confusion_matrix(MATRIX, show_absolute=False, show_normed=True))
    assert shares == ["0.50", "0.50", "0.00", "0.00", "0.51", "0.49", "0.00", "0.00", "0.00"]
    both = texts(plot_confusion_matrix(MATRIX, show_normed=True))
    assert both[:6] == [
        "5\n(0.50)",
        "5\n(0.50)",
        "0\n(0.00)",
        "0\n(0.00)",
        "51\n(0.51)",
        "49\n(0.49)",
    ]


def test_text_is_white_above_a_half_and_grey_in_empty_cells():
    figure = plot_confusion_matrix(MATRIX)
    colors = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colors == {"5": "black", "51": "white", "49": "black", "0": "0.45"}


def test_a_class_without_examples_has_shares_of_zero():
    image = plot_confusion_matrix(MATRIX).axes[0].images[0]
    np.testing.assert_allclose(
        image.get_array(), [[0.5, 0.5, 0], [0, 0.51, 0.49], [0, 0, 0]], atol=1e-12
    )


@pytest.mark.parametrize("percent", [0, 10, 30, 50, 51, 60, 80, 100])
def test_text_stands_out_from_its_cell(percent):
    figure = plot_confusion_matrix([[percent, 100 - percent], [0, 1]])
    (axes,) = figure.axes
    cell = luminance(axes.images[0].to_rgba(np.array([[percent / 100]]))[0, 0, :3])
    text = luminance(axes.texts[0].get_color())
    # WCAG 2.2 asks for a contrast of 3 for large text, 4.5 for body text.
    assert (max(cell, text) + 0.05) / (min(cell, text) + 0.05) > 4


def test_class_names_and_their_number():
    axes = plot_confusion_matrix(MATRIX, class_names=NAMES).axes[0]
    assert labels(axes.xaxis) == labels(axes.yaxis) == NAMES
    message = "`class_names` (2 names) must have one name for each of the 3 classes"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plot_confusion_matrix(MATRIX, class_names=NAMES[:2])


def test_spines_and_ticks_can_be_hidden():
    plain = plot_confusion_matrix(MATRIX, class_names=NAMES).axes[0]
    assert all(spine.get_visible() for spine in plain.spines.values())
    bare = plot_confusion_matrix(MATRIX, class_names=NAMES, hide_spines=True, hide_ticks=True)
    axes = bare.axes[0]
    assert not any(spine.get_visible() for spine in axes.spines.values())
    assert list(axes.get_xticks()) == list(axes.get_yticks()) == []


def test_colour_bar_map_and_size():
    figure = plot_confusion_matrix(MATRIX, colorbar=True, cmap="Greens", figsize=(4, 3))
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylabel() == "Share of the true class"
    assert figure.axes[1].get_ylim() == (0, 1)
    assert figure.axes[0].images[0].get_cmap().name == "Greens"
    assert list(figure.get_size_inches()) == [4, 3]
    default = plot_confusion_matrix(MATRIX)
    assert len(default.axes) == 1
    assert default.axes[0].images[0].get_cmap().name == "Blues"


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("figsize", [None, (3.5, 3.5)])
def test_ten_classes_fit(normed, figsize):
    matrix = np.full((10, 10), 888)
    names = ["automobile"] * 10
    figure = plot_confusion_matrix(matrix, show_normed=normed, class_names=names, figsize=figsize)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    cell = axes.get_window_extent().width / 10
    for text in axes.texts:
        assert text.get_window_extent().width < cell
        assert text.get_window_extent().height < cell
    assert min(text.get_fontsize() for text in axes.texts) >= 4
    outer = axes.get_tightbbox()
    assert outer.x0 >= 0
    assert outer.y0 >= 0
    assert outer.x1 <= figure.bbox.x1
    assert outer.y1 <= figure.bbox.y1


def test_a_hundred_classes_leave_empty_cells_blank():
    matrix = np.eye(100, dtype=int) * 95
    matrix[3, 7] = 5
    figure = plot_confusion_matrix(matrix, class_names=[f"class {i}" for i in range(100)])
    assert sorted(texts(figure)) == ["5"] + ["95"] * 100
    figure.draw_without_rendering()
    names = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(names) == 100
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(names))


def test_a_matrix_without_examples():
    assert texts(plot_confusion_matrix(np.zeros((2, 2), int))) == ["0"] * 4
    assert texts(plot_confusion_matrix(np.zeros((31, 31), int))) == []


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (
            MATRIX,
            {"show_absolute": False},
            "`show_absolute` and `show_normed` are both False; at least one must be True",
        ),
        (
            MATRIX[:2],
            {},
            "`matrix` must be square, [classes, classes]; its shape is (2, 3)",
        ),
        (MATRIX / 2, {}, "`matrix` must hold integer counts; its dtype is float64"),
        (-MATRIX, {}, "`matrix` must hold counts ≥ 0; its smallest is -51"),
    ],
)
def test_bad_input(matrix, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plot_confusion_matrix(matrix, **options)
