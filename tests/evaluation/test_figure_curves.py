from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.colors import same_color, to_rgb
from PIL import Image

from resnet_jax.evaluation import plot_accuracy, plot_training_loss, running_average


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def epoch_labels(figure):
    return [tick.get_text() for tick in figure.axes[1].get_xticklabels()]


def test_loss_and_running_average():
    losses = np.random.default_rng(0).random(500) + 1
    figure = plot_training_loss(losses, 5, 100, averaging_iterations=200)
    drawn = lines(figure.axes[0])
    np.testing.assert_array_equal(drawn["Minibatch loss"].get_ydata(), losses)
    np.testing.assert_array_equal(drawn["Minibatch loss"].get_xdata(), np.arange(500))
    average = drawn["Running average (200)"]
    expected = [losses[start : start + 200].mean() for start in range(301)]
    np.testing.assert_allclose(average.get_ydata(), expected)
    # Each average stands at the middle of its window.
    np.testing.assert_array_equal(average.get_xdata(), 99.5 + np.arange(301))


def test_the_window_is_100_by_default():
    assert "Running average (100)" in lines(plot_training_loss([1.0] * 200, 2, 100).axes[0])


@pytest.mark.parametrize(("length", "window"), [(99, 9), (100, 100), (5, 1), (1, 1)])
def test_a_window_longer_than_the_history_shrinks(length, window):
    drawn = lines(plot_training_loss(np.ones(length), 1, length).axes[0])
    average = drawn[f"Running average ({window})"]
    assert len(average.get_ydata()) == length - window + 1


def test_y_limit_ignores_the_peak_of_the_first_thousand_iterations():
    losses = np.full(1400, 0.5)
    losses[999] = 50.0
    losses[1000] = 2.0
    axes = plot_training_loss(losses, 8, 175).axes[0]
    assert axes.get_ylim() == (0, 3.0)


def test_y_limit_of_a_short_history_ignores_the_first_tenth():
    losses = np.full(1000, 0.5)
    losses[99] = 50.0
    losses[100] = 2.0
    assert plot_training_loss(losses, 1, 1000).axes[0].get_ylim() == (0, 3.0)


@pytest.mark.parametrize(("losses", "top"), [([4.0], 6.0), ([0.0, 0.0], 1.0)])
def test_y_limit_of_tiny_histories(losses, top):
    assert plot_training_loss(losses, 1, 2).axes[0].get_ylim() == (0, top)


@pytest.mark.parametrize(
    ("epochs", "labels"),
    [
        (1, ["0", "1"]),
        (2, ["0", "1", "2"]),
        (10, [str(epoch) for epoch in range(11)]),
        (15, ["0", "2", "4", "6", "8", "10", "12", "14"]),
        (50, ["0", "10", "20", "30", "40", "50"]),
        (55, ["0", "10", "20", "30", "40", "50"]),
        (120, [str(epoch) for epoch in range(0, 121, 10)]),
        (200, [str(epoch) for epoch in range(0, 201, 20)]),
    ],
)
def test_the_second_axis_counts_epochs(epochs, labels):
    figure = plot_training_loss([1.0] * 7, epochs, 7)
    first, second = figure.axes
    assert epoch_labels(figure) == labels
    assert list(second.get_xticks()) == [7 * int(label) for label in labels]
    assert first.get_xlim() == second.get_xlim() == (0, 7 * epochs)
    assert second.get_xlabel() == "Epochs"
    assert (first.get_xlabel(), first.get_ylabel()) == ("Iterations", "Loss")
    figure.draw_without_rendering()
    below = second.xaxis.label.get_window_extent()
    assert 0 <= below.y0 < below.y1 < first.xaxis.label.get_window_extent().y0


def test_an_interrupted_run_keeps_the_planned_axis():
    axes = plot_training_loss([1.0] * 150, 50, 100).axes[0]
    assert axes.get_xlim() == (0, 5000)


def test_numbers_of_few_bits():
    """Their product needs more bits than they have."""
    losses = np.ones(300)
    figure = plot_training_loss(
        losses, np.uint8(2), np.uint8(200), averaging_iterations=np.uint8(200)
    )
    first, second = figure.axes
    assert first.get_xlim() == (0, 400)
    assert list(second.get_xticks()) == [0, 200, 400]
    middles, averages = running_average(losses, np.int8(100))
    np.testing.assert_array_equal(middles, 49.5 + np.arange(201))
    np.testing.assert_allclose(averages, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"minibatch_losses": []},
            "`minibatch_losses` must be a list of at least one number; its shape is (0,)",
        ),
        (
            {"minibatch_losses": [[1.0]]},
            "`minibatch_losses` must be a list of at least one number; its shape is (1, 1)",
        ),
        (
            {"minibatch_losses": [1.0, np.nan]},
            "`minibatch_losses` must be finite; entry 1 is nan",
        ),
        ({"num_epochs": 0}, "`num_epochs` (=0) must be at least 1"),
        ({"iterations_per_epoch": -1}, "`iterations_per_epoch` (=-1) must be at least 1"),
        ({"averaging_iterations": 0}, "`averaging_iterations` (=0) must be at least 1"),
        (
            {"minibatch_losses": [1.0] * 7},
            "`minibatch_losses` has 7 entries, more than `num_epochs` (=2) times "
            "`iterations_per_epoch` (=3)",
        ),
    ],
)
def test_bad_losses(change, message):
    arguments = {"minibatch_losses": [1.0] * 6, "num_epochs": 2, "iterations_per_epoch": 3}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plot_training_loss(**(arguments | change))


@pytest.mark.parametrize(
    ("values", "window", "message"),
    [
        ([1.0, 2.0, 3.0], 5, "`window` (=5) must be at most 3, the number of `values`"),
        ([1.0, 2.0, 3.0], 0, "`window` (=0) must be at least 1"),
        ([[1.0, 2.0]], 1, "`values` must have one axis, [n]; its shape is (1, 2)"),
    ],
)
def test_a_window_that_does_not_fit(values, window, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        running_average(np.array(values), window)


def test_accuracy_by_epoch():
    figure = plot_accuracy([70.0, 80.0, 90.0], [65.0, 75.0, 72.0])
    (axes,) = figure.axes
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["Training"].get_ydata(), [70, 80, 90])
    np.testing.assert_array_equal(drawn["Validation"].get_ydata(), [65, 75, 72])
    for line in drawn.values():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Training", "Validation"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Accuracy (%)")
    assert not same_color(drawn["Training"].get_color(), drawn["Validation"].get_color())
    assert drawn["Training"].get_linestyle() != drawn["Validation"].get_linestyle()


@pytest.mark.parametrize(
    ("lowest", "ylim", "expected"),
    [
        (75.0, None, (60, 100)),
        (60.0, None, (60, 100)),
        (59.9, None, (50, 100)),
        (0.0, None, (0, 100)),
        (12.0, (60, 100), (60, 100)),
        (75.0, (70, 90), (70, 90)),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_accuracy_limits(lowest, ylim, expected, swap):
    histories = ([80.0, 90.0], [lowest, 85.0])
    axes = plot_accuracy(*(reversed(histories) if swap else histories), ylim=ylim).axes[0]
    assert axes.get_ylim() == expected


def test_markers_at_the_upper_limit_are_whole(tmp_path):
    """Those of an epoch with 100 % reach above the axes."""
    for ylim, whole in ((None, True), ((60, 100), False)):
        path = tmp_path / "figure.png"
        figure = plot_accuracy(None, [90.0, 100.0, 90.0], ylim=ylim)
        figure.savefig(path)
        (axes,) = figure.axes
        color = np.round(np.multiply(255, to_rgb(axes.lines[0].get_color())))
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        top = round(pixels.shape[0] - axes.get_window_extent().y1)
        assert (pixels[top - 4] == color).all(1).any() == whole


def test_a_run_may_take_no_training_accuracy_or_call_it_otherwise():
    (axes,) = plot_accuracy(None, [65.0, 75.0]).axes
    assert list(lines(axes)) == ["Validation"]
    (axes,) = plot_accuracy([70.0, 80.0], [65.0, 75.0], train_label="Running").axes
    assert list(lines(axes)) == ["Running", "Validation"]


@pytest.mark.parametrize("epochs", [1, 2, 4, 50])
def test_epochs_are_labelled_with_whole_numbers(epochs):
    figure = plot_accuracy([80.0] * epochs, [70.0] * epochs)
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticks()
    shown = [tick for tick in ticks if 1 <= tick <= epochs]
    assert shown
    assert all(float(tick).is_integer() for tick in ticks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_accuracy": []},
            "`train_accuracy` must be a list of at least one number; its shape is (0,)",
        ),
        (
            {"valid_accuracy": [1.0, np.inf]},
            "`valid_accuracy` must be finite; entry 1 is inf",
        ),
        (
            {"valid_accuracy": [1.0, 101.0]},
            "`valid_accuracy` must be in %, 0 to 100; it holds 101.0",
        ),
        (
            {"train_accuracy": [-1.0, 1.0]},
            "`train_accuracy` must be in %, 0 to 100; it holds -1.0",
        ),
        (
            {"train_accuracy": None, "valid_accuracy": [50.0, 100.5]},
            "`valid_accuracy` must be in %, 0 to 100; it holds 100.5",
        ),
        (
            {"train_accuracy": [1.0]},
            "`train_accuracy` (1 epochs) and `valid_accuracy` (2 epochs) must have the same length",
        ),
        ({"ylim": (90, 90)}, "`ylim` (=(90, 90)) must be (lower, upper) with lower < upper"),
    ],
)
def test_bad_accuracies(change, message):
    arguments = {"train_accuracy": [70.0, 80.0], "valid_accuracy": [70.0, 80.0]}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plot_accuracy(**(arguments | change))
