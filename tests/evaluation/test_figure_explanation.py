"""Images, Grad-CAM and gradients below each other."""

import numpy as np
import pytest

from resnet_jax.evaluation import plot_explanations

NAMES = ("airplane", "automobile")


def explain(count=6, **changes):
    images = np.linspace(0, 1, count * 8 * 8 * 3).reshape(count, 8, 8, 3)
    cam = np.zeros((count, 2, 2))
    cam[:, 0, 0] = 4
    values = {
        "images": images,
        "predictions": [0] * count,
        "labels": [0, 1] * (count // 2) + [0] * (count % 2),
        "cam": cam,
        "saliency": np.zeros((count, 8, 8)),
        **changes,
    }
    return plot_explanations(
        values["images"],
        values["predictions"],
        values["labels"],
        NAMES,
        cam=values["cam"],
        saliency=values["saliency"],
    )


def test_four_columns_of_three():
    figure = explain()
    figure.draw_without_rendering()
    assert len(figure.axes) == 12
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["Image", "Grad-CAM", "Gradient"]
    titles = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert titles[:2] == ["P: airplane\nT: airplane", "P: airplane\nT: automobile"]
    # The map is as large as the image, its largest value 1, and 0 in the far corner.
    _, heat = figure.axes[4].images
    assert heat.get_array().shape == (8, 8)
    assert heat.get_array().max() == 1
    assert heat.get_array()[-1, -1] == 0
    for title in (axes._left_title for axes in figure.axes[:4]):
        assert title.get_fontsize() >= 5
        assert title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_images_leave_places_empty(count):
    figure = explain(count)
    figure.draw_without_rendering()
    assert [axes.axison for axes in figure.axes[:4]] == [True] * count + [False] * (4 - count)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictions": [0]}, r"`predictions` \(1 entries\) must have one entry per image \(6\)"),
        ({"labels": [0] * 5}, r"`labels` \(5 entries\) must have one entry per image \(6\)"),
        ({"saliency": np.zeros((7, 8, 8))}, r"`saliency` \(7 entries\) must have one entry per"),
        ({"predictions": [0, 0, 0, 0, 0, 2]}, "`predictions` holds class 2; `class_names` has 2"),
        ({"cam": np.zeros((1, 2, 2))}, r"`cam` \(1 entries\) must have one entry per image"),
        ({"labels": [0, 0, 0, 2, 0, 0]}, "`labels` holds class 2; `class_names` has 2 names"),
        ({"cam": np.zeros((6, 4))}, r"`cam` must be \[n, height, width\]; its shape is \(6, 4\)"),
        ({"cam": np.float32(1)}, r"`cam` must be \[n, height, width\]; its shape is \(\)"),
        ({"saliency": np.zeros((6, 8))}, r"`saliency` must be \[n, height, width\]; its shape is"),
        ({"images": np.zeros((5, 8, 8, 2))}, "with 1 or 3 channels"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        explain(**changes)
