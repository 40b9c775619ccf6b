"""Which examples go into which batch."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ..storage import whole_number


def epoch_permutation(key: jax.Array, epoch: int | jax.Array, n: int) -> jax.Array:
    """Return the order in which an epoch visits the examples, a pure function of the arguments.

    Args:
        key: the run's shuffling key; it stays the same for every epoch.
        epoch: number of the epoch; it may be traced, so that epochs share one compilation.
        n: number of examples (static).

    Returns:
        int32 `[n]`, a permutation of `0 .. n-1`, on the default device.

    >>> first = epoch_permutation(jax.random.key(0), 1, 5)
    >>> sorted(first.tolist())
    [0, 1, 2, 3, 4]
    """
    return jax.random.permutation(
        jax.random.fold_in(key, epoch), jnp.arange(n, dtype=jnp.int32), independent=False
    )


def num_batches(n: int, batch_size: int, drop_last: bool = False) -> int:
    """Return the number of batches of an epoch over `n` examples.

    Args:
        n: number of examples.
        batch_size: examples per batch.
        drop_last: whether a smaller last batch is left out.

    Raises:
        TypeError: if `n` or `batch_size` is no whole number.
        ValueError: if one of them is not positive.

    >>> num_batches(45_000, 256, drop_last=True), num_batches(45_000, 256)
    (175, 176)
    """
    n, batch_size = whole_number("n", n), whole_number("batch_size", batch_size)
    return n // batch_size if drop_last else -(-n // batch_size)


def eval_batches(n: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every example once, in order, in batches that all have the same shape.

    The last batch is filled up with example 0 and its mask is False there, so that one compiled
    step serves all batches and a sum under the mask is exact.

    Args:
        n: number of examples.
        batch_size: examples per batch.

    Yields:
        `(indices, mask)`: int32 `[batch_size]` and bool `[batch_size]`.

    Raises:
        TypeError: if `n` or `batch_size` is no whole number.
        ValueError: if one of them is not positive.

    >>> [(i.tolist(), m.tolist()) for i, m in eval_batches(3, 2)]
    [([0, 1], [True, True]), ([2, 0], [True, False])]
    """
    n, batch_size = whole_number("n", n), whole_number("batch_size", batch_size)
    slots = np.arange(num_batches(n, batch_size) * batch_size, dtype=np.int32)
    mask = slots < n
    indices = np.where(mask, slots, np.int32(0))
    yield from zip(indices.reshape(-1, batch_size), mask.reshape(-1, batch_size), strict=True)
