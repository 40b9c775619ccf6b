"""The weights are Pillow's: whole resizes in integers equal `Image.resize`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_jax.data.resampling import FILTERS, WEIGHT_BITS, resampling_taps


def resample(x, taps, axis):
    x = np.moveaxis(x.astype(np.int64), axis, 0)
    total = sum(
        x[taps.first + k] * taps.weights[:, k].reshape(-1, *[1] * (x.ndim - 1)).astype(np.int64)
        for k in range(taps.weights.shape[1])
    )
    return np.moveaxis(((total + (1 << WEIGHT_BITS - 1)) >> WEIGHT_BITS).clip(0, 255), 0, axis)


def check(height, width, rows, columns, seed, filter="bilinear"):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = resample(image, resampling_taps(width, columns, filter), 1)
    ours = resample(ours, resampling_taps(height, rows, filter), 0)
    theirs = Image.fromarray(image).resize((columns, rows), Image.Resampling[filter.upper()])
    assert np.array_equal(ours, np.asarray(theirs))


SIZES = st.integers(1, 40)
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(1, 90), SEEDS, st.sampled_from(list(FILTERS)))
def test_square_to_square_equals_pillow(source, target, seed, filter):
    check(source, source, target, target, seed, filter)


# Pillow 13 takes the vertical pass first where the height shrinks more than the width.
@settings(deadline=None, max_examples=50)
@given(SIZES, SIZES, st.integers(0, 50), st.integers(1, 90), SEEDS, st.sampled_from(list(FILTERS)))
def test_enlarged_height_equals_pillow(height, width, more, columns, seed, filter):
    check(height, width, height + more, columns, seed, filter)


@pytest.mark.parametrize(("source", "target"), [(32, 120), (28, 32), (120, 32), (1, 7), (7, 1)])
def test_weights_sum_to_one_and_stay_inside(source, target):
    taps = resampling_taps(source, target)
    assert taps.first.min() >= 0
    assert taps.first.max() + taps.weights.shape[1] <= source
    totals = taps.weights.sum(axis=1) / 2**WEIGHT_BITS
    assert np.abs(totals - 1).max() < 1e-5
    # The accumulator of white pixels fits into 32 bits.
    assert taps.weights.sum(axis=1).max() * 255 + (1 << WEIGHT_BITS - 1) < 2**31


def test_enlarging_takes_two_taps():
    assert resampling_taps(32, 120).weights.shape == (120, 2)


def test_same_size_is_the_identity():
    taps = resampling_taps(5, 5)
    assert taps.weights.tolist() == [[2**WEIGHT_BITS]] * 5
    assert taps.first.tolist() == list(range(5))
