"""The evaluation step: exact sums over a data set, compiled for one device or several."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax import Array, lax

from .batches import EvalBatch, EvalPlan
from .engine import Engine, Parallel, choose_engine
from .losses import LossFunction, check_labels, cross_entropy, is_correct
from .preparation import Prepare, as_is, example_keys


@struct.dataclass
class Totals:
    """Sums over the batches evaluated so far.

    Attributes:
        step: batches evaluated.
        count: examples evaluated.
        correct: examples whose highest logit is that of their label.
        loss: sum of the examples' losses.
    """

    step: Array
    count: Array
    correct: Array
    loss: Array


def zero_totals() -> Totals:
    """Return the sums before the first batch."""
    zero = jnp.zeros((), jnp.int32)
    return Totals(zero, zero, zero, jnp.zeros((), jnp.float32))


def eval_step(
    variables: Any,
    plan: EvalPlan | EvalBatch,
    totals: Totals,
    key: Array,
    *,
    model: nn.Module,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
    axis_name: str | None = None,
) -> Totals:
    """Evaluate the next batch, in evaluation mode; examples that only fill it up do not count.

    Args:
        variables: the model's variables.
        plan: the data set in batches, or the next batch.
        totals: the sums so far.
        key: a random key, for a `prepare` that draws random numbers.
        model: the model.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        axis_name: the mapped axis over which the sums are taken, if any.

    Raises:
        ValueError: if the prepared labels are not `[batch]` integers.
    """
    images, labels, valid = plan.take(totals.step)
    keys = example_keys(jax.random.fold_in(key, totals.step), images.shape[0], axis_name)
    images, labels = prepare(images, labels, keys)
    logits = cast(Array, model.apply(variables, images))
    check_labels(labels, logits, integers_only=True)
    count = jnp.sum(valid, dtype=jnp.int32)
    correct = jnp.sum(valid & is_correct(logits, labels), dtype=jnp.int32)
    loss = jnp.sum(jnp.where(valid, loss_fn(logits, labels), 0.0))
    if axis_name is not None:
        count, correct, loss = lax.psum((count, correct, loss), axis_name)
    return Totals(
        totals.step + 1, totals.count + count, totals.correct + correct, totals.loss + loss
    )


def make_eval_step(
    model: nn.Module,
    *,
    parallel: Parallel | None = None,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
) -> Callable[[Any, EvalPlan | EvalBatch, Totals, Array], Totals]:
    """Compile `eval_step` for all devices or an engine's.

    Args:
        model: the model.
        parallel: short for `engine=Engine.create(parallel)`.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.

    Returns:
        `step(variables, plan, totals, key) -> totals`, for variables and totals of
        `engine.replicate` and a plan of `engine.place`.

    Raises:
        ValueError: if `parallel` is unknown or given beside an engine.
    """
    engine = choose_engine(engine, parallel)
    body = partial(
        eval_step, model=model, loss_fn=loss_fn, prepare=prepare, axis_name=engine.mapped_axis
    )
    return engine.compile_eval(body)
