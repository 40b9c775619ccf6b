"""The calibration error by hand and against scikit-learn's curve; its figure."""

import re

import jax
import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from resnet_jax.evaluation import calibration, plot_calibration


def binary(confidences):
    """Probabilities of two classes, the first the more probable."""
    return np.stack([confidences, 1 - np.asarray(confidences)], axis=1)


def test_by_hand():
    """Ten bins: 0.55, 0.6 in (0.5, 0.6], one right; 0.85, 0.9, 0.9 in (0.8, 0.9], all right."""
    result = calibration([0, 1, 0, 0, 0], binary([0.55, 0.6, 0.85, 0.9, 0.9]), bins=10)
    assert result.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 3, 0]
    assert result.accuracy[[5, 8]].tolist() == [0.5, 1.0]
    assert result.confidence[[5, 8]] == pytest.approx([0.575, 2.65 / 3])
    assert np.isnan(result.accuracy[[0, 9]]).all()
    assert np.isnan(result.confidence[[0, 9]]).all()
    assert result.error == pytest.approx(2 / 5 * 0.075 + 3 / 5 * (1 - 2.65 / 3))


@pytest.mark.parametrize(
    ("labels", "confidences", "error"),
    [([0, 0], [1.0, 1.0], 0.0), ([1, 1], [1.0, 1.0], 1.0), ([0, 1], [0.5, 0.5], 0.0)],
)
def test_extremes(labels, confidences, error):
    assert calibration(labels, binary(confidences)).error == pytest.approx(error)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_against_scikit_learn(bins):
    generator = np.random.default_rng(bins)
    probabilities = np.asarray(jax.nn.softmax(generator.normal(size=(500, 4)).astype(np.float32)))
    labels = generator.integers(4, size=500)
    result = calibration(labels, probabilities, bins=bins)
    right = probabilities.argmax(1) == labels
    confidences = probabilities.max(1).astype(np.float64)
    accuracy, confidence = calibration_curve(right, confidences, n_bins=bins, pos_label=True)
    filled = result.counts > 0
    np.testing.assert_allclose(result.accuracy[filled], accuracy)
    np.testing.assert_allclose(result.confidence[filled], confidence)
    assert result.counts.sum() == 500


def test_a_number_of_bins_of_few_bits():
    """One more needs more bits than it has."""
    edges = calibration([0], [[0.6, 0.4]], bins=np.uint8(255)).edges
    np.testing.assert_array_equal(edges, np.linspace(0, 1, 256))


@pytest.mark.parametrize(
    ("labels", "probabilities", "bins", "message"),
    [
        ([0], [[0.5, 0.5]] * 2, 2, "`probabilities` must have the shape [n, classes] with n = 1"),
        ([0], [0.5], 2, "its shape is (1,)"),
        ([0, 1], [[1, 0], [0.5, 0.6]], 2, "sum to 1 in each row; row 1 is [0.5, 0.6]"),
        ([0], [[1.5, -0.5]], 2, "must be at least 0 and sum to 1 in each row; row 0"),
        ([0], [[float("nan"), 0]], 2, "row 0 is [nan, 0.0]"),
        ([2], [[0.5, 0.5]], 2, "`labels` holds class 2; `probabilities` has 2 classes"),
        ([0], [[0.5, 0.5]], 0, "`bins` (=0) must be at least 1"),
    ],
)
def test_bad_input(labels, probabilities, bins, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        calibration(labels, probabilities, bins=bins)


def test_the_figure_shows_the_filled_bins():
    result = calibration([0, 1, 0, 0, 0], binary([0.55, 0.6, 0.85, 0.9, 0.9]), bins=10)
    figure = plot_calibration(result)
    figure.draw_without_rendering()
    diagram, counts = figure.axes
    (model,) = [line for line in diagram.lines if line.get_label() == "Model"]
    np.testing.assert_allclose(model.get_xydata(), [[0.575, 0.5], [2.65 / 3, 1]])
    assert [bar.get_height() for bar in counts.patches] == [2, 3]
    assert [text.get_text() for text in diagram.texts] == ["ECE 10.0 %"]
    assert figure.get_figwidth() == 3.3
    # A point of full accuracy and confidence lies on the frame, and is shown whole.
    assert not model.get_clip_on()
