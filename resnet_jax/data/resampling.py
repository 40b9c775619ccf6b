"""Interpolation weights of Pillow's resize, in its own fixed-point arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

# Pillow keeps 8 bits for the pixel and 2 for the sum's headroom in its 32-bit accumulator.
WEIGHT_BITS = 32 - 8 - 2


class Taps(NamedTuple):
    """One axis of a resize: output `i` is a weighted sum over `first[i] .. first[i] + taps - 1`.

    Attributes:
        first: int32 `[target]`, first source position of each output.
        weights: int32 `[target, taps]`, in units of `2**-WEIGHT_BITS`.
    """

    first: np.ndarray
    weights: np.ndarray


class Filter(NamedTuple):
    """A symmetric interpolation filter.

    Attributes:
        support: distance in pixels beyond which it is zero.
        weight: the filter, of float64 distances.
    """

    support: float
    weight: Callable[[np.ndarray], np.ndarray]


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray) -> np.ndarray:
    # Keys' convolution with a = -1/2.
    x, a = np.abs(x), -0.5
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3), 0.0)


Interpolation = Literal["bilinear", "bicubic", "lanczos"]
"""Name of a filter."""

FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        "bilinear": Filter(1.0, _triangle),
        "bicubic": Filter(2.0, _cubic),
        "lanczos": Filter(3.0, _lanczos),
    }
)
"""The filters by name; they widen when an image shrinks, so that nothing is aliased."""


@functools.lru_cache(maxsize=32)
def resampling_taps(source: int, target: int, interpolation: Interpolation = "bilinear") -> Taps:
    """Return the weights of a filter of Pillow along one axis.

    Pixel centres are at half positions. Output `i` is centred at `c = (i + 1/2) · s` with
    `s = source / target`; source pixel `j` weighs `filter((j + 1/2 - c) / max(s, 1))`, so the
    filter widens when the image shrinks. The weights of an output are normalised to sum to one
    and then rounded to 22 bits, as Pillow does for 8-bit images.

    Args:
        source: pixels of the source along the axis.
        target: pixels of the result along the axis.
        interpolation: the filter.

    References:
        Pillow, src/libImaging/Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`).

    >>> resampling_taps(2, 4).first.tolist()
    [0, 0, 0, 0]
    >>> (resampling_taps(2, 4).weights / 2**WEIGHT_BITS).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    scale = source / target
    stretch = max(scale, 1.0)
    support = FILTERS[interpolation].support * stretch
    dense = np.zeros((target, source), np.int64)
    for i in range(target):
        centre = (i + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        distances = (np.arange(low, high) - centre + 0.5) * (1.0 / stretch)
        weights = FILTERS[interpolation].weight(distances)
        # The sum from left to right, as a loop in C adds; NumPy's own adds pairs.
        scaled = weights / weights.cumsum()[-1] * 2**WEIGHT_BITS
        dense[i, low:high] = np.trunc(scaled + np.copysign(0.5, scaled))

    used = dense != 0
    first = used.argmax(axis=1)
    last = source - 1 - used[:, ::-1].argmax(axis=1)
    taps = int((last - first).max()) + 1
    first = np.minimum(first, source - taps)
    weights = np.take_along_axis(dense, first[:, None] + np.arange(taps)[None, :], axis=1)
    return Taps(first.astype(np.int32), weights.astype(np.int32))
