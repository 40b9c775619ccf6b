"""The random crop: torchvision's distribution, and Pillow's pixels."""

import math

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from resnet_jax.data import RandomResizedCrop

DRAWS = 4000


def boxes(crop, width, height, count=DRAWS):
    generator = np.random.default_rng(0)
    return np.array([crop.draw(generator, width, height) for _ in range(count)])


def test_shares_and_ratios_are_uniform():
    # So large that rounding does not matter, and so small a share that every part fits.
    left, upper, right, lower = boxes(RandomResizedCrop(scale=(0.1, 0.3)), 4000, 4000).T
    width, height = right - left, lower - upper
    share = np.sort((width * height / 4000**2 - 0.1) / 0.2)
    ratio = np.sort((np.log(width / height) / math.log(4 / 3) + 1) / 2)
    place = np.sort(left / (4000 - width))
    for values in (share, ratio, place):
        # Kolmogorov's distance from the uniform distribution: 1.95 / sqrt(n) has level 0.001.
        assert np.abs(values - np.linspace(0, 1, DRAWS)).max() < 1.95 / math.sqrt(DRAWS)


@pytest.mark.parametrize("size", [(500, 375), (31, 90), (1, 1)])
def test_parts_lie_inside(size):
    left, upper, right, lower = boxes(RandomResizedCrop(), *size, 300).T
    assert (left >= 0).all()
    assert (upper >= 0).all()
    assert (right > left).all()
    assert (lower > upper).all()
    assert (right <= size[0]).all()
    assert (lower <= size[1]).all()


@pytest.mark.parametrize(
    ("size", "box"), [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506))]
)
def test_the_middle_is_taken_where_no_part_fits(size, box):
    crop = RandomResizedCrop(scale=(1.0, 1.0))
    assert {tuple(found) for found in boxes(crop, *size, 5).tolist()} == {box}


def test_the_whole_image_is_taken_where_its_ratio_is_allowed():
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.1, 1.4))
    # No ratio but 1.25 itself has all of the area.
    assert crop.draw(np.random.default_rng(1), 1000, 800) == (0, 0, 1000, 800)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_the_pixels_are_those_of_a_crop_and_a_resize(method):
    image, box = picture(0, 300, 200), (31, 17, 250, 190)
    found = RandomResizedCrop(size=64, interpolation=method).apply(image, box)
    wanted = image.crop(box).resize((64, 64), Image.Resampling[method.upper()])
    np.testing.assert_array_equal(found, np.asarray(wanted))


def test_a_reduced_image_gives_the_same_part():
    image, box = picture(0, 320, 240), (32, 16, 256, 192)
    crop = RandomResizedCrop(size=32)
    found = crop.apply(image.reduce(2), box, image.size).astype(int)
    assert np.abs(found - crop.apply(image, box)).max() <= 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, r"`size` \(=0\)"),
        ({"scale": (0.0, 1.0)}, r"`scale` \(=\(0.0, 1.0\)\)"),
        ({"scale": (0.5, 1.5)}, "`scale`"),
        ({"ratio": (2.0, 1.0)}, "`ratio`"),
        ({"interpolation": "nearest"}, "`interpolation`"),
    ],
)
def test_arguments_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**changes)
