"""Interpolation weights of Pillow's bilinear resize, in its own fixed-point arithmetic."""

from __future__ import annotations

import functools
from typing import NamedTuple

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


@functools.lru_cache(maxsize=32)
def bilinear_taps(source: int, target: int) -> Taps:
    """Return the weights of Pillow's `BILINEAR` filter along one axis.

    Pixel centres are at half positions. Output `i` is centred at `c = (i + 1/2) · s` with
    `s = source / target`; source pixel `j` weighs `max(0, 1 - |j + 1/2 - c| / max(s, 1))`, so the
    triangle widens when the image shrinks. The weights of an output are normalised to sum to one
    and then rounded to 22 bits, as Pillow does for 8-bit images.

    Args:
        source: pixels of the source along the axis.
        target: pixels of the result along the axis.

    References:
        Pillow, src/libImaging/Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`).

    >>> bilinear_taps(2, 4).first.tolist()
    [0, 0, 0, 0]
    >>> (bilinear_taps(2, 4).weights / 2**WEIGHT_BITS).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    scale = source / target
    support = max(scale, 1.0)
    dense = np.zeros((target, source), np.int64)
    for i in range(target):
        centre = (i + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        weights = np.maximum(0.0, 1.0 - np.abs(np.arange(low, high) - centre + 0.5) / support)
        dense[i, low:high] = np.floor(weights / weights.sum() * 2**WEIGHT_BITS + 0.5)

    used = dense > 0
    first = used.argmax(axis=1)
    last = source - 1 - used[:, ::-1].argmax(axis=1)
    taps = int((last - first).max()) + 1
    first = np.minimum(first, source - taps)
    weights = np.take_along_axis(dense, first[:, None] + np.arange(taps)[None, :], axis=1)
    return Taps(first.astype(np.int32), weights.astype(np.int32))
