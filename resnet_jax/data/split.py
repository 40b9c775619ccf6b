"""The split of the training images into training and validation."""

from __future__ import annotations

import math

import numpy as np

from ..storage import whole_number


def split_indices(
    n: int, *, fraction: float = 0.1, seed: int = 123
) -> tuple[np.ndarray, np.ndarray]:
    """Split `range(n)` at random into training and validation indices.

    The order is that of `np.random.seed(seed); np.random.shuffle(list(range(n)))`, NumPy's legacy
    generator, without touching its global state. The first `floor(fraction * n)` shuffled indices
    are for validation and the others for training, both in shuffled order.

    Args:
        n: number of examples.
        fraction: share of the examples kept for validation, `0 <= fraction < 1`.
        seed: seed of the legacy generator, `0 <= seed < 2**32`.

    Returns:
        `(train, validation)`, int64 arrays that hold each index once between them.

    Raises:
        TypeError: if `n` or `seed` is no whole number.
        ValueError: if an argument is out of range.

    >>> train, validation = split_indices(50_000)
    >>> train.shape, validation.shape
    ((45000,), (5000,))
    """
    n, seed = whole_number("n", n), whole_number("seed", seed, least=None)
    if not 0 <= fraction < 1:
        raise ValueError(f"`fraction` (={fraction}) must be in [0, 1)")
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` (={seed}) must be in [0, 2**32)")
    order = np.arange(n, dtype=np.int64)
    np.random.RandomState(seed).shuffle(order)
    count = math.floor(fraction * n)
    return order[count:], order[:count]
