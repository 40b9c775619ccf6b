import jax
import numpy as np
import pytest

from resnet_jax.data.augment import Cutout, RandomErasing

ONES = np.ones((3000, 16, 16, 3), np.float32)


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(2), len(ONES))


def hidden(augmentation, keys):
    """Which pixels, `[n, height, width]`; all channels of a pixel or none."""
    images, _ = augmentation(keys, ONES, np.zeros(len(ONES)))
    result = np.asarray(images) == 0
    assert (result.all(-1) == result.any(-1)).all()
    return result.any(-1)


@pytest.mark.parametrize("size", [1, 4, 5, 40])
def test_cutout_hides_one_square(keys, size):
    mask = hidden(Cutout(size), keys)
    heights, widths = mask.any(2).sum(1), mask.any(1).sum(1)
    np.testing.assert_array_equal(mask.sum((1, 2)), heights * widths)
    assert heights.max() == widths.max() == min(size, 16)
    # The expected overlap of a side around a uniform centre.
    sides = [
        len([p for p in range(c - size // 2, c - size // 2 + size) if 0 <= p < 16])
        for c in range(16)
    ]
    assert heights.mean() == pytest.approx(np.mean(sides), rel=0.03)
    assert mask.mean() == pytest.approx((np.mean(sides) / 16) ** 2, rel=0.06)


def test_erasing_hides_rectangles_of_that_area(keys):
    mask = hidden(RandomErasing(0.5, area=(0.1, 0.3), ratio=(0.5, 2.0)), keys)
    areas = mask.mean((1, 2))
    assert (areas > 0).mean() == pytest.approx(0.5, abs=0.03)
    areas = areas[areas > 0]
    assert areas.mean() == pytest.approx(0.2, abs=0.01)
    assert 0.07 < areas.min() < 0.12
    assert 0.27 < areas.max() < 0.34
    heights, widths = (mask.any(axis).sum(1) for axis in (2, 1))
    np.testing.assert_array_equal(mask.sum((1, 2)), heights * widths)
    ratios = heights[heights > 0] / widths[heights > 0]
    assert 0.4 < ratios.min() < 0.7
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cutout(0), r"`size` \(=0\) must be at least 1"),
        (lambda: RandomErasing(-0.1), r"`probability` \(=-0.1\)"),
        (lambda: RandomErasing(area=(0.3, 0.2)), r"`area` \(=\(0.3, 0.2\)\) must ascend"),
        (lambda: RandomErasing(ratio=(0.0, 1.0)), r"`ratio` \(=\(0.0, 1.0\)\) must ascend"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
