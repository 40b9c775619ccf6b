import math

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


def erased_by_tries(random, area, ratio, side=16):
    """Height and width by the rule's words: ten tries, then nothing."""
    for _ in range(10):
        target = random.uniform(*area) * side**2
        aspect = math.exp(random.uniform(*map(math.log, ratio)))
        h, w = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if h < side and w < side:
            return h, w
    return 0, 0


@pytest.mark.parametrize(
    ("area", "ratio"), [((0.02, 0.33), (0.3, 3.3)), ((0.6, 0.9), (0.2, 2.0)), ((1.0, 1.0), (1, 1))]
)
def test_what_does_not_fit_is_drawn_again(keys, area, ratio):
    mask = hidden(RandomErasing(1.0, area=area, ratio=ratio), keys)
    heights, widths = (mask.any(axis).sum(1) for axis in (2, 1))
    assert max(heights.max(), widths.max()) < 16
    random = np.random.default_rng(0)
    expected = np.array([erased_by_tries(random, area, ratio) for _ in keys])
    assert (heights > 0).mean() == pytest.approx((expected[:, 0] > 0).mean(), abs=0.03)
    assert heights.mean() == pytest.approx(expected[:, 0].mean(), abs=0.25)
    assert widths.mean() == pytest.approx(expected[:, 1].mean(), abs=0.25)


def test_what_is_put_there(keys):
    """Numbers of a standard normal distribution: one for each channel, or for each pixel too."""
    whole = {"area": (0.3, 0.3), "ratio": (1.0, 1.0)}
    for fill in ("random", "pixel"):
        images, _ = RandomErasing(1.0, fill, **whole)(keys, ONES, keys)
        images = np.asarray(images)
        changed = images != 1
        # 9 pixels of 16 on each side.
        assert (changed.sum((1, 2)) == 81).all()
        values = images[changed.all(-1)].reshape(len(keys), 81, 3)
        assert (np.ptp(values, axis=1) == 0).all() == (fill == "random")
        assert (np.ptp(values, axis=2) > 0).all()
        assert values.mean() == pytest.approx(0, abs=0.05)
        assert values.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cutout(0), r"`size` \(=0\) must be at least 1"),
        (lambda: RandomErasing(-0.1), r"`probability` \(=-0.1\)"),
        (lambda: RandomErasing(fill="black"), r"`fill` \(='black'\) must be one of zero, random"),
        (lambda: RandomErasing(area=(0.5, 1.5)), r"be above 0 and be at most 1"),
        (lambda: RandomErasing(area=(0.3, 0.2)), r"`area` \(=\(0.3, 0.2\)\) must ascend"),
        (lambda: RandomErasing(ratio=(0.0, 1.0)), r"`ratio` \(=\(0.0, 1.0\)\) must ascend"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
