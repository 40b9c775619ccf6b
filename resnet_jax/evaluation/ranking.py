"""The rank that a network gives to the true class of each image, for images in a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from ..ops.dtypes import class_numbers
from ..training import Engine, EvalBatch, Prepare, cross_entropy


class Ranks(NamedTuple):
    """What a network says of labelled images.

    Attributes:
        ranks: int32 `[n]`, the number of classes that come before the label: 0 where it is the
            prediction, below 5 where it is among the first five. Of equal logits the one with the
            lower index comes first. The number of classes where a logit is NaN or the label is no
            class.
        losses: float32 `[n]`, the cross-entropy in nats.
    """

    ranks: NDArray[np.int32]
    losses: NDArray[np.float32]


def rank_labels(
    model: nn.Module,
    variables: Mapping[str, Any],
    batches: Iterable[EvalBatch],
    prepare: Prepare,
    *,
    engine: Engine,
) -> Iterator[Ranks]:
    """Evaluate labelled images batch by batch, with the model in evaluation mode.

    The program is compiled once if all batches have one shape. Each result is fetched while the
    next batch runs.

    Args:
        model: module called as `model(x, train=False) -> logits [batch, classes]`.
        variables: variables of the model.
        batches: batches on the host, whose size the number of devices divides; examples that only
            fill up a batch have `valid` False.
        prepare: transforms a batch on the device.
        engine: the devices.

    Yields:
        For each batch the ranks of its valid examples.
    """
    body = partial(_rank_batch, model=model, prepare=prepare, axis_name=engine.mapped_axis)
    step = engine.compile_eval(body)
    whole = engine.replicate(variables)
    nothing, key = engine.replicate(jnp.zeros((), jnp.int32)), engine.share(jax.random.key(0))
    running: tuple[Any, NDArray[np.bool_]] | None = None
    for batch in batches:
        following = step(whole, engine.place(batch), nothing, key), np.asarray(batch.valid)
        if running is not None:
            yield _fetch(engine, *running)
        running = following
    if running is not None:
        yield _fetch(engine, *running)


def _rank_batch(
    variables: Any,
    batch: EvalBatch,
    nothing: Array,
    key: Array,
    *,
    model: nn.Module,
    prepare: Prepare,
    axis_name: str | None,
) -> tuple[Array, Array]:
    """Return the ranks and the losses of a batch, those of all devices on each of them."""
    images, labels, _ = batch.take(nothing)
    images, labels = prepare(images, labels, jax.random.split(key, images.shape[0]))
    logits = cast(Array, model.apply(variables, images, train=False)).astype(jnp.float32)
    classes = logits.shape[-1]
    numbers = class_numbers(labels)
    own = jnp.take_along_axis(logits, numbers[:, None], axis=-1)
    before = jnp.arange(classes, dtype=numbers.dtype)[None] < numbers[:, None]
    known = (numbers >= 0) & (numbers < classes)
    ranks = jnp.sum((logits > own) | ((logits == own) & before), axis=-1, dtype=jnp.int32)
    ranks = jnp.where(known & ~jnp.isnan(logits).any(-1), ranks, jnp.int32(classes))
    found = ranks, cross_entropy(logits, labels)
    return found if axis_name is None else lax.all_gather(found, axis_name, tiled=True)


def _fetch(engine: Engine, found: Any, valid: NDArray[np.bool_]) -> Ranks:
    """Return the results of a batch on the host, without those that only filled it up."""
    ranks, losses = map(np.asarray, engine.unreplicate(found))
    return Ranks(ranks[valid], losses[valid])
