"""A trained model's logits for any number of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray


# The cache of jit is keyed by the two static arguments, so that a second call with an equal model
# and transform compiles nothing.
@partial(jax.jit, static_argnames=("model", "transform"))
def _batch_logits(
    model: nn.Module,
    transform: Callable[[jax.Array], jax.Array],
    variables: Mapping[str, Any],
    images: jax.Array,
) -> jax.Array:
    logits = model.apply(variables, transform(images), train=False)
    return jnp.asarray(logits).astype(jnp.float32)


def predict_logits(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: ArrayLike,
    transform: Callable[[jax.Array], jax.Array],
    *,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Return the logits of all images, the model in evaluation mode.

    The images pass in batches of one static shape; the last is padded and its padding cut off
    again, so each image is counted once whatever n is. Compiled once for each combination of
    model, transform and batch shape.

    Args:
        model: a module whose call is `model(x, train=False) -> logits [batch, classes]`.
        variables: its variables, `{"params", "batch_stats"}`.
        images: uint8 `[n, height, width, channels]`, n ≥ 1.
        transform: from a uint8 batch to the model's input, traceable by JAX; `Transform.center`
            of a `Transform`. Use one object for all calls: a new lambda each time compiles anew.
        batch_size: images at a time; a larger one needs more memory.

    Returns:
        float32 `[n, classes]`. `logits.argmax(axis=1)` are the predictions,
        `jax.nn.softmax(logits)` the probabilities.

    Raises:
        ValueError: `images` has another rank or dtype or is empty, `batch_size` is below 1, or
            `model` or `transform` cannot be hashed.
    """
    host = np.asarray(images)
    if host.ndim != 4:
        raise ValueError(
            f"`images` must have four axes, [n, height, width, channels]; its shape is {host.shape}"
        )
    if host.dtype != np.uint8:
        raise ValueError(f"`images` must be uint8; its dtype is {host.dtype}")
    if len(host) == 0:
        raise ValueError("`images` is empty; at least one image is needed")
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1")
    _check_hashable("model", model)
    _check_hashable("transform", transform)

    # Each batch is fetched while the next one runs, so that the device does not wait for the host.
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
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be hashable: give it tuples instead of lists or arrays"
        ) from error
