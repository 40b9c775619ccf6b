"""What a step reads: a batch, or a data set on the device and the order to read it in.

Each is a pytree that knows which of its axes the devices share out (`split_axes`) and how to
take the images of one step (`take`).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax

from ..data import eval_batches

Arrayish = Any
"""A NumPy or JAX array; in `split_axes`, the axis that the devices share out."""


@struct.dataclass
class Batch:
    """One batch.

    Attributes:
        images: `[batch, height, width, channels]`.
        labels: `[batch]` integers, or `[batch, classes]` probabilities.
    """

    images: Arrayish
    labels: Arrayish

    @property
    def split_axes(self) -> Batch:
        """The axis of each leaf that the devices share out; -1 for none."""
        return Batch(0, 0)

    def take(self, step: Array) -> tuple[Array, Array]:
        """Return images and labels of a step."""
        del step
        return self.images, self.labels


@struct.dataclass
class Epoch:
    """All batches of an epoch: the data set, whole on every device, and an order.

    Attributes:
        images: `[n, height, width, channels]` uint8.
        labels: `[n]` integers.
        order: `[steps, batch]` int32 positions in `images`.
    """

    images: Arrayish
    labels: Arrayish
    order: Arrayish

    @property
    def split_axes(self) -> Epoch:
        """The axis of each leaf that the devices share out; -1 for none."""
        return Epoch(-1, -1, 1)

    def take(self, step: Array) -> tuple[Array, Array]:
        """Return images and labels of a step; steps are counted through all epochs."""
        # A number of Python would be an int64 under `jax_enable_x64`.
        steps = jnp.asarray(self.order.shape[0], step.dtype)
        row = lax.dynamic_index_in_dim(self.order, lax.rem(step, steps), keepdims=False)
        _check_counts(self.images, self.labels)
        return self.images[row], self.labels[row]


@struct.dataclass
class EvalPlan:
    """A whole data set in batches of one shape, for an exact evaluation.

    Attributes:
        images: `[n, height, width, channels]` uint8.
        labels: `[n]` integers.
        order: `[steps, batch]` int32 positions in `images`; the last batch is filled up.
        valid: `[steps, batch]` bool, False for an example that only fills up the batch.
    """

    images: Arrayish
    labels: Arrayish
    order: Arrayish
    valid: Arrayish

    @property
    def split_axes(self) -> EvalPlan:
        """The axis of each leaf that the devices share out; -1 for none."""
        return EvalPlan(-1, -1, 1, 1)

    def take(self, step: Array) -> tuple[Array, Array, Array]:
        """Return images, labels and validity of a step."""
        row = lax.dynamic_index_in_dim(self.order, step, keepdims=False)
        valid = lax.dynamic_index_in_dim(self.valid, step, keepdims=False)
        _check_counts(self.images, self.labels)
        return self.images[row], self.labels[row], valid


@struct.dataclass
class EvalBatch:
    """One batch of an evaluation.

    Attributes:
        images: `[batch, height, width, channels]` uint8.
        labels: `[batch]` integers.
        valid: `[batch]` bool, False for an example that only fills up the batch.
    """

    images: Arrayish
    labels: Arrayish
    valid: Arrayish

    @property
    def split_axes(self) -> EvalBatch:
        """The axis of each leaf that the devices share out; -1 for none."""
        return EvalBatch(0, 0, 0)

    def take(self, step: Array) -> tuple[Array, Array, Array]:
        """Return images, labels and validity of a step."""
        del step
        return self.images, self.labels, self.valid


def eval_order(
    count: int, batch_size: int, *, num_devices: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `order` and `valid` of an `EvalPlan` that takes every example once.

    Args:
        count: number of examples, at least 1.
        batch_size: examples per step, at least 1; lowered to `count`, and raised to a multiple
            of the devices.
        num_devices: number of devices that share a batch.

    Returns:
        int32 and bool arrays, `[steps, batch]`.

    >>> eval_order(3, 2)[1].tolist()
    [[True, True], [True, False]]
    """
    size = min(batch_size, count)
    size += -size % num_devices
    order, valid = zip(*eval_batches(count, size), strict=True)
    return np.stack(order), np.stack(valid)


def epoch_order(permutation: Array, batch_size: int) -> Array:
    """Cut a permutation into full batches `[steps, batch]`; a ragged tail is dropped.

    >>> epoch_order(jnp.arange(7), 3).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    steps = permutation.shape[0] // batch_size
    return jnp.reshape(permutation[: steps * batch_size], (steps, batch_size))


def _check_counts(images: Array, labels: Array) -> None:
    """Raise unless every image has a label.

    Positions beyond the end of an array would otherwise be read as its last.

    Raises:
        ValueError: naming both numbers, or the shape of labels without an axis.
    """
    if not jnp.shape(labels):
        raise ValueError("`labels` (of shape []) must be an array with a label for each image")
    if len(images) != len(labels):
        raise ValueError(
            f"`images` (={len(images)}) and `labels` (={len(labels)}) must be equal in number"
        )
