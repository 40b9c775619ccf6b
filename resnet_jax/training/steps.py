"""The training step and the evaluation step: pure functions over pytrees.

``make_train_step`` and ``make_eval_step`` compile them for one device or several.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax import Array, lax

from .batches import Batch, Epoch, EvalPlan
from .parallel import Engine
from .state import TrainState

LossFunction = Callable[[Array, Array], Array]
"""From logits ``[batch, classes]`` and labels to one loss per example, ``[batch]``."""

Prepare = Callable[[Array, Array, Array], tuple[Array, Array]]
"""From images, labels and one random key per example to the model's images and labels."""


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Cross-entropy per example, ``[batch]``, in nats.

    Args:
        logits: ``[batch, classes]``.
        labels: ``[batch]`` integers in ``[0, classes)``.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


def as_is(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
    """The ``Prepare`` that changes nothing."""
    del keys
    return images, labels


def example_keys(key: Array, count: int, axis_name: str | None = None) -> Array:
    """A random key for each example, ``[count]``.

    On a mapped axis each device gets its part of the keys of the global batch, so that an
    example's key does not depend on the number of devices.
    """
    if axis_name is None:
        return jax.random.split(key, count)
    keys = jax.random.split(key, count * lax.axis_size(axis_name))
    return lax.dynamic_slice_in_dim(keys, lax.axis_index(axis_name) * count, count)


def train_step(
    state: TrainState,
    batch: Batch | Epoch,
    key: Array,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """One step: forward in training mode, mean loss, backward, optimizer.

    Args:
        state: the state before.
        batch: the batch, or the epoch of which the state's step names the batch.
        key: the run's random key; the step number is folded in.
        model: the model, called as ``model.apply(variables, images, train=True, mutable=…)``.
        tx: the optimizer.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        axis_name: the mapped axis over which gradients and loss are averaged, if any.

    Returns:
        The state after, and ``{"loss": the batch's mean loss}``.
    """
    images, labels = batch.take(state.step)
    keys = example_keys(jax.random.fold_in(key, state.step), images.shape[0], axis_name)
    images, labels = prepare(images, labels, keys)

    def mean_loss(params: Any) -> tuple[Array, Any]:
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return loss_fn(logits, labels).mean(), updates.get("batch_stats", {})

    (loss, batch_stats), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    if axis_name is not None:
        loss, gradients = lax.pmean((loss, gradients), axis_name)
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    state = state.replace(  # type: ignore[attr-defined]
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return state, {"loss": loss}


@struct.dataclass
class Totals:
    """Sums over the batches evaluated so far.

    Attributes:
        step: batches evaluated.
        correct: examples classified rightly.
        loss: sum of the examples' losses.
    """

    step: Array
    correct: Array
    loss: Array


def zero_totals() -> Totals:
    """The sums before the first batch."""
    return Totals(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))


def eval_step(
    variables: Any,
    plan: EvalPlan,
    totals: Totals,
    key: Array,
    *,
    model: nn.Module,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
    axis_name: str | None = None,
) -> Totals:
    """Evaluates the next batch, in evaluation mode; examples that fill it up do not count.

    Args:
        variables: the model's variables.
        plan: the data set in batches.
        totals: the sums so far.
        key: a random key, for a ``prepare`` that draws.
        model: the model.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        axis_name: the mapped axis over which the sums are taken, if any.
    """
    images, labels, valid = plan.take(totals.step)
    keys = example_keys(jax.random.fold_in(key, totals.step), images.shape[0], axis_name)
    images, labels = prepare(images, labels, keys)
    logits = cast(Array, model.apply(variables, images))
    correct = jnp.sum(valid & (jnp.argmax(logits, -1) == labels), dtype=jnp.int32)
    loss = jnp.sum(jnp.where(valid, loss_fn(logits, labels), 0.0))
    if axis_name is not None:
        correct, loss = lax.psum((correct, loss), axis_name)
    return Totals(totals.step + 1, totals.correct + correct, totals.loss + loss)


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    *,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
) -> Callable[[TrainState, Batch | Epoch, Array], tuple[TrainState, dict[str, Array]]]:
    """Compiles ``train_step`` for an engine's devices; the state's buffers are donated.

    Args:
        model: the model; under ``pmap`` its ``axis_name`` is set to the engine's where it is
            None, so that BatchNorm shares its statistics.
        tx: the optimizer.
        engine: the devices and how to use them; None is ``Engine.create()``.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.

    Returns:
        ``step(state, batch, key) -> (state, metrics)``, for a state of ``engine.replicate`` and a
        batch of ``engine.place``.
    """
    engine = Engine.create() if engine is None else engine
    body = partial(
        train_step,
        model=engine.bind(model),
        tx=tx,
        loss_fn=loss_fn,
        prepare=prepare,
        axis_name=engine.mapped_axis,
    )
    return engine.compile_train(body)


def make_eval_step(
    model: nn.Module,
    *,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
) -> Callable[[Any, EvalPlan, Totals, Array], Totals]:
    """Compiles ``eval_step`` for an engine's devices.

    Args:
        model: the model.
        engine: the devices and how to use them; None is ``Engine.create()``.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.

    Returns:
        ``step(variables, plan, totals, key) -> totals``, for variables and totals of
        ``engine.replicate`` and a plan of ``engine.place``.
    """
    engine = Engine.create() if engine is None else engine
    body = partial(
        eval_step, model=model, loss_fn=loss_fn, prepare=prepare, axis_name=engine.mapped_axis
    )
    return engine.compile_eval(body)
