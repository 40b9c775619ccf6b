import itertools

import jax
import numpy as np
import pytest

from resnet_jax.data.augment import ColorJitter, operations


def test_only_what_is_asked_for(photos, keys):
    same, _ = ColorJitter(0, 0, 0, 0)(keys, photos, keys)
    np.testing.assert_array_equal(same, photos)


def test_factors_are_uniform():
    """The brightness of grey, which the factor multiplies, and never below 0."""
    count = 4000
    keys = jax.random.split(jax.random.key(6), count)
    grey = np.full((count, 1, 1, 1), 100, np.uint8)
    levels = np.asarray(ColorJitter(0.4, 0, 0, 0)(keys, grey, keys)[0]).ravel() / 100
    assert 0.59 <= levels.min() < 0.61
    assert 1.38 < levels.max() <= 1.4
    assert levels.mean() == pytest.approx(0.995, abs=0.02)
    assert levels.std() == pytest.approx(0.8 / 12**0.5, rel=0.05)
    wide = np.asarray(ColorJitter(1.5, 0, 0, 0)(keys, grey, keys)[0]).ravel() / 100
    assert 0 <= wide.min() < 0.02
    assert wide.mean() == pytest.approx(1.245, abs=0.04)


def test_hue_turns_both_ways():
    """Pure red moves towards yellow or magenta, by up to a tenth of the circle."""
    keys = jax.random.split(jax.random.key(7), 4000)
    red = np.broadcast_to(np.uint8([255, 0, 0]), (4000, 1, 1, 3))
    turned, _ = jax.jit(ColorJitter(0, 0, 0, 0.1))(keys, red, keys)
    _, green, blue = np.asarray(turned, np.float32).reshape(-1, 3).T
    turns = (green - blue) / 255 / 6
    assert -0.101 < turns.min() < -0.098
    assert 0.098 < turns.max() < 0.101
    assert turns.mean() == pytest.approx(0, abs=0.004)


def test_the_order_is_random(photos):
    """Every order of three operations is drawn, and its pixels are those of the operations."""
    count = 600
    jitter = ColorJitter(0.3, 0.3, 0, 0.2)
    keys = jax.random.split(jax.random.key(8), count)
    images = np.broadcast_to(photos[5], (count, *photos[5].shape))
    augmented = np.asarray(jax.jit(jitter)(keys, images, keys)[0], np.int32)

    def factors(key):
        lows, highs = np.float32([0.7, 0.7, -0.2]), np.float32([1.3, 1.3, 0.2])
        return jax.random.uniform(jax.random.split(key)[1], (3,), np.float32, lows, highs)

    factors = np.asarray(jax.vmap(factors)(keys))
    functions = (operations.brightness, operations.contrast, operations.hue)

    def in_every_order(image, values):
        results = []
        for order in itertools.permutations(range(3)):
            result = image
            for index in order:
                result = functions[index](result, values[index])
            results.append(result)
        return results

    expected = np.asarray(jax.jit(jax.vmap(in_every_order))(images, factors), np.int32)
    differences = np.abs(augmented[None] - expected).mean((2, 3, 4))
    # An image belongs to the order that gives its pixels.
    assert differences.min(0).max() < 0.01
    assert np.bincount(differences.argmin(0), minlength=6).min() > 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1,), r"`brightness` \(=-0.1\) must be finite and at least 0"),
        ((0.1, float("nan")), r"`contrast` \(=nan\) must be finite and at least 0"),
        ((0.1, 0.1, float("inf")), r"`saturation` \(=inf\) must be finite"),
        ((0.1, 0.1, 0.1, 0.6), r"`hue` \(=0.6\) must be in \[0, 0.5\]"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ColorJitter(*arguments)
