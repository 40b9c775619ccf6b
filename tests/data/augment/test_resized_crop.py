"""The crops' pixels are Pillow's, and their places are drawn as torchvision draws them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from resnet_jax.data import Transform
from resnet_jax.data.augment import Pipeline, RandomResizedCrop
from resnet_jax.data.augment.resized_crop import crop_and_resize

# Height and width of an image, and boxes in it: top, left, height, width.
SHAPE = (40, 33)
BOXES = [(0, 0, 40, 33), (3, 5, 20, 28), (10, 0, 7, 9), (39, 32, 1, 1), (0, 4, 39, 12)]


@pytest.fixture(scope="module")
def image():
    return load_sample_images().images[0][200 : 200 + SHAPE[0], 250 : 250 + SHAPE[1]]


@pytest.mark.parametrize("size", [(8, 8), (24, 31)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_pixels(image, interpolation, size):
    """One compiled function for all boxes; rows first, which Pillow 13 does not always do."""
    function = jax.jit(
        lambda corner, sides: crop_and_resize(
            jnp.asarray(image), corner, sides, size, interpolation
        )
    )
    filter_ = Image.Resampling[interpolation.upper()]
    for top, left, height, width in BOXES:
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = crop.resize((size[1], height), filter_).resize(size[::-1], filter_)
        ours = function(jnp.array([top, left]), jnp.array([height, width]))
        different = np.abs(np.asarray(ours, np.int32) - np.asarray(expected))
        assert different.max() <= 1
        # A sum that lies just between two levels may be rounded to the other one.
        assert (different > 0).mean() < 0.1


def drawn_by_tries(random, shape, area, ratio):
    """Height and width by the rule's words: ten tries, then a crop in the middle."""
    height, width = shape
    for _ in range(10):
        target = random.uniform(*area) * height * width
        aspect = math.exp(random.uniform(*map(math.log, ratio)))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return h, w
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


@pytest.mark.parametrize(
    ("shape", "area"), [((32, 32), (0.08, 1.0)), ((12, 60), (0.3, 1.0)), ((60, 12), (0.5, 1.0))]
)
def test_the_distribution(shape, area):
    count = 4000
    random = np.random.default_rng(0)
    expected = np.array([drawn_by_tries(random, shape, area, (3 / 4, 4 / 3)) for _ in range(count)])
    augmentation = RandomResizedCrop(*area)
    draw = jax.vmap(lambda key: augmentation.draw(key, shape))
    corners, sides = map(np.asarray, draw(jax.random.split(jax.random.key(11), count)))
    assert (corners >= 0).all()
    assert (corners + sides <= shape).all()
    for axis in range(2):
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            bound = np.quantile(expected[:, axis], share)
            below = [(values[:, axis] <= bound).mean() for values in (sides, expected)]
            assert below[0] == pytest.approx(below[1], abs=0.04)
    areas = [values.prod(1).mean() for values in (sides, expected)]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)
    if shape == (32, 32):
        # Uniform in the room that the rectangle leaves.
        room = shape - sides
        shares = (corners[room > 4] / room[room > 4]).mean()
        assert shares == pytest.approx(0.5, abs=0.02)


def test_a_middle_crop_where_nothing_fits():
    """All of the area at a ratio that the image does not have."""
    augmentation = RandomResizedCrop(1.0, 1.0, ratio=(1.0, 1.0))
    corner, sides = augmentation.draw(jax.random.key(0), (12, 61))
    np.testing.assert_array_equal(sides, (12, 12))
    np.testing.assert_array_equal(corner, (0, 24))
    corner, sides = augmentation.draw(jax.random.key(0), (31, 12))
    np.testing.assert_array_equal(sides, (12, 12))
    np.testing.assert_array_equal(corner, (9, 0))


def test_in_a_pipeline_it_takes_the_place_of_the_resize(photos, keys):
    """The stored image is resampled once, to the transform's crop and with its filter."""
    transform = Transform(
        source=(16, 16), resize=30, crop=9, mean=(0.4,) * 3, std=(0.2,) * 3, interpolation="bicubic"
    )
    labels = np.zeros(64, np.int32)
    whole = Pipeline(transform, (RandomResizedCrop(1.0, 1.0, ratio=(1.0, 1.0)),), 10)
    images, _ = jax.jit(whole)(photos, labels, keys)
    assert images.shape == (64, 9, 9, 3)
    resized = np.stack(
        [
            np.asarray(Image.fromarray(photo).resize((9, 9), Image.Resampling.BICUBIC))
            for photo in photos
        ]
    )
    levels = np.asarray(transform.denormalise(images)) * 255
    np.testing.assert_allclose(levels, resized, atol=1.01)
    own = RandomResizedCrop(size=(5, 7), interpolation="lanczos")
    assert own.sized((9, 9), "bicubic") == own
    small, _ = jax.eval_shape(own, keys, photos, labels)
    assert (small.shape, small.dtype) == ((64, 5, 7, 3), jnp.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_area": 0.0}, r"`min_area` \(=0.0\) must be in \(0, 1\]"),
        ({"min_area": float("nan")}, r"`min_area` \(=nan\)"),
        ({"min_area": 0.5, "max_area": 0.4}, r"`max_area` \(=0.4\) must be in \[`min_area`, 1\]"),
        ({"max_area": 1.5}, r"`max_area` \(=1.5\)"),
        ({"ratio": (2.0, 1.0)}, r"`ratio` \(=\(2.0, 1.0\)\) must ascend"),
        ({"size": (0, 3)}, r"`size` \(=\(0, 3\)\) must be a positive height and width"),
        ({"interpolation": "cubic"}, r"`interpolation` \(='cubic'\) must be one of bilinear, bic"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**arguments)


def test_images_of_another_kind(keys):
    with pytest.raises(ValueError, match=r"`images` is float32 \(64, 8, 8, 3\); expected uint8"):
        RandomResizedCrop()(keys, np.zeros((64, 8, 8, 3), np.float32), keys)
