"""The logits of a trained model for any number of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..storage import whole_number

if TYPE_CHECKING:
    from ..data import CenterImages


# `jit` caches by the two static arguments, so a second call with an equal model and transform
# compiles nothing.
@partial(jax.jit, static_argnames=("model", "transform"))
def _batch_logits(
    model: nn.Module,
    transform: Callable[[jax.Array], jax.Array],
    variables: Mapping[str, Any],
    images: jax.Array,
) -> jax.Array:
    """Return the float32 logits of one batch of uint8 images."""
    logits = model.apply(variables, transform(images), train=False)
    return jnp.asarray(logits).astype(jnp.float32)


def predict_logits(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: ArrayLike | CenterImages,
    transform: Callable[[jax.Array], jax.Array],
    *,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Return the logits of all images, with the model in evaluation mode.

    All batches have the same shape: the last one is padded, and the logits of the padding are
    dropped. The program is compiled once for each combination of model, transform and batch
    shape.

    Args:
        model: module called as `model(x, train=False) -> logits [batch, classes]`.
        variables: variables of the model, `{"params", "batch_stats"}`.
        images: uint8 images `[n, height, width, channels]`, n ≥ 1; those of an `ImageStream` are
            decoded a batch at a time.
        transform: function that JAX can trace, from a uint8 batch to the model's input, such as
            `Transform.center`. Pass the same object in every call: a new lambda is compiled again.
        batch_size: number of images per batch; larger batches need more memory.

    Returns:
        float32 logits `[n, classes]`. `logits.argmax(axis=1)` are the predictions,
        `jax.nn.softmax(logits)` the probabilities.

    Raises:
        ValueError: if `images` has another rank or dtype or is empty, `batch_size` is below 1, or
            `model` or `transform` cannot be hashed.
        TypeError: if `batch_size` is no whole number.
    """
    from ..data import CenterImages  # decodes images by Pillow, which arrays do not need

    host = images if isinstance(images, CenterImages) else np.asarray(images)
    if host.ndim != 4:
        raise ValueError(
            f"`images` must have four axes, [n, height, width, channels]; its shape is {host.shape}"
        )
    if host.dtype != np.uint8:
        raise ValueError(f"`images` must be uint8; its dtype is {host.dtype}")
    if len(host) == 0:
        raise ValueError("`images` is empty; at least one image is needed")
    batch_size = whole_number("batch_size", batch_size)
    _check_hashable("model", model)
    _check_hashable("transform", transform)

    # Each batch is fetched while the next one runs, so that the device never waits for the host.
    fetched: list[NDArray[np.float32]] = []
    running: jax.Array | None = None
    for start in range(0, len(host), batch_size):
        batch = host[start : start + batch_size]
        missing = batch_size - len(batch)
        if missing:
            batch = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
        following = _batch_logits(model, transform, variables, batch)
        if running is not None:
            fetched.append(np.asarray(running))
        running = following
    fetched.append(np.asarray(running))
    return np.concatenate(fetched)[: len(host)]


def _check_hashable(name: str, value: Hashable) -> None:
    """Raise ValueError if the argument called `name` cannot be hashed, as `jit` requires."""
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be hashable; use tuples instead of lists and arrays in it"
        ) from error
