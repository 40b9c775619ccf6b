"""Curves over each other: each has its own look, and the legend hides none of them."""

import re

import pytest

from resnet_jax.evaluation import plot_overlay

LABELS = {"xlabel": "Epoch", "ylabel": "Loss"}


def test_curves_and_their_names():
    figure = plot_overlay({"one": ([1, 2], [3.0, 4.0]), "two": ([1], [5.0])}, **LABELS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 3], [2, 4]], [[1, 5]]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Loss")
    # A single point would not show as a line.
    assert [line.get_marker() for line in axes.lines] == ["None", "o"]


@pytest.mark.parametrize("names", [["run"] * 7, ["a long name of a run"] * 4])
def test_the_legend_is_below_and_inside(names):
    curves = {f"{name}{number}": ([0, 1], [number, 0]) for number, name in enumerate(names)}
    figure = plot_overlay(curves, **LABELS)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= 0
    assert legend.y1 <= figure.axes[0].xaxis.label.get_window_extent().y0
    assert figure.axes[0].get_window_extent().height > 0.5 * figure.bbox.height


def test_one_curve_has_no_legend():
    assert not plot_overlay({"one": ([1, 2], [3, 4])}, **LABELS).legends


def test_twenty_eight_looks():
    figure = plot_overlay({str(number): ([0], [number]) for number in range(28)}, **LABELS)
    looks = {(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines}
    assert len(looks) == 28


def test_a_rate_holds_up_to_the_next():
    figure = plot_overlay({"a": ([0, 1], [0.1, 0.01])}, log_y=True, steps=True, **LABELS)
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].lines[0].get_drawstyle() == "steps-post"


@pytest.mark.parametrize(
    ("values", "limits"), [([0.01, 0.01], (0, 0.02)), ([0.0, 0.0], None), ([0.01, 0.02], None)]
)
def test_a_constant_is_shown_above_zero(values, limits):
    (axes,) = plot_overlay({"a": ([0, 1], values)}, steps=True, **LABELS).axes
    if limits:
        assert axes.get_ylim() == limits
    else:
        assert axes.get_ylim() != (0, 2 * max(values))


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ({}, {}, "`curves` is empty; at least one curve is needed"),
        ({"a": ([1, 2], [1])}, {}, "those of 'a' have shapes (2,) and (1,)"),
        ({"a": ([], [])}, {}, "at least 1; those of 'a' have shapes (0,) and (0,)"),
        ({"a": ([1], [float("nan")])}, {}, "`curves` must be finite; 'a' is not"),
        ({"a": ([1], [0.0])}, {"log_y": True}, "above 0 with `log_y`; 'a' has the value 0.0"),
    ],
)
def test_bad_input(curves, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plot_overlay(curves, **LABELS, **options)
