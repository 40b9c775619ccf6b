"""The training step and the evaluation step: pure functions over pytrees.

``make_train_step`` and ``make_eval_step`` compile them for one device or several.

BatchNorm in training takes its statistics from the whole batch by default, whatever the number
of devices, so that this number changes no result. They may also stay per device
(``sync_batch_norm=False``): each device then normalises with the statistics of its own examples,
and the running statistics are averaged over the devices, so that all keep the same ones. torch's
``DistributedDataParallel`` normalises likewise, but keeps the running statistics of rank 0.
A model takes part by an attribute ``axis_name``, as ``ResNet`` has; the statistics of one without
it stay per device.
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
from jax.flatten_util import ravel_pytree

from .batches import Batch, Epoch, EvalBatch, EvalPlan
from .ema import check_decay, update_ema
from .engine import Engine, Parallel
from .optimizer import get_learning_rate, has_learning_rate, set_learning_rate
from .schedules import Schedule
from .state import TrainState

LossFunction = Callable[[Array, Array], Array]
"""From logits ``[batch, classes]`` and labels to one loss per example, ``[batch]``."""

Prepare = Callable[[Array, Array, Array], tuple[Array, Array]]
"""From images, labels and one random key per example to the model's images and labels."""


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """Cross-entropy per example, ``[batch]``, in nats.

    Args:
        logits: ``[batch, classes]``.
        labels: ``[batch]`` integers in ``[0, classes)``, or ``[batch, classes]`` probabilities.
        label_smoothing: in [0, 1), the part of each label that is spread over all classes.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
        Szegedy et al. 2015, https://arxiv.org/abs/1512.00567 (label smoothing)
    """
    if labels.ndim == 1 and not label_smoothing:
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    if labels.ndim == 1:
        labels = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    labels = (1.0 - label_smoothing) * labels + label_smoothing / logits.shape[-1]
    return optax.losses.softmax_cross_entropy(logits, labels)


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


def _micro_batches(tree: Any, count: int) -> Any:
    """Cuts the leading axis into ``count`` strided parts, ``[count, batch / count, ...]``.

    Strided, because each device can cut what it holds, and part ``i`` has the same examples on
    any number of devices.
    """

    def cut(leaf: Array) -> Array:
        return jnp.moveaxis(jnp.reshape(leaf, (-1, count, *leaf.shape[1:])), 1, 0)

    return jax.tree.map(cut, tree)


def _average(tree: Any, axis_name: str) -> Any:
    """The mean over a mapped axis, in one reduction."""
    flat, unravel = ravel_pytree(tree)
    return unravel(lax.pmean(flat, axis_name))


def train_step(
    state: TrainState,
    batch: Batch | Epoch,
    key: Array,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
    schedule: Schedule | None = None,
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
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
        schedule: multiplies the learning rate of this step; the state keeps the rate itself.
        ema_decay: of the state's moving averages; 0 for a state without any.
        accumulate_steps: micro-batches, done one after the other in less memory; their gradients
            and losses are averaged. BatchNorm normalises each with its own statistics and moves
            the running ones once for each, so that a model with BatchNorm gets other numbers
            than from the whole batch; without it they are the same.
        axis_name: the mapped axis over which gradients and loss are averaged, if any, and the
            running statistics, too, where the model does not share them (its ``axis_name``).

    Returns:
        The state after, and the scalars `{"loss": ..., "learning_rate": ...}`: the batch's mean
        loss in nats and the learning rate that the update used. An optimizer whose state has no
        learning rate gives the loss alone.
    """
    images, labels = batch.take(state.step)
    keys = example_keys(jax.random.fold_in(key, state.step), images.shape[0], axis_name)

    def mean_loss(params: Any, batch_stats: Any, examples: Any) -> tuple[Array, Any]:
        images, labels = prepare(*examples)
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updates = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return loss_fn(logits, labels).mean(), updates.get("batch_stats", {})

    def micro_step(batch_stats: Any, examples: Any) -> tuple[Any, tuple[Array, Any]]:
        (loss, batch_stats), gradients = jax.value_and_grad(mean_loss, has_aux=True)(
            state.params, batch_stats, examples
        )
        return batch_stats, (loss, gradients)

    examples = (images, labels, keys)
    if accumulate_steps == 1:
        batch_stats, (loss, gradients) = micro_step(state.batch_stats, examples)
    else:

        def accumulate(carry: Any, examples: Any) -> tuple[Any, None]:
            batch_stats, sums = carry
            batch_stats, results = micro_step(batch_stats, examples)
            return (batch_stats, jax.tree.map(jnp.add, sums, results)), None

        parts = _micro_batches(examples, accumulate_steps)
        first = jax.tree.map(lambda leaf: leaf[0], parts)
        shapes = jax.eval_shape(micro_step, state.batch_stats, first)[1]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        (batch_stats, sums), _ = lax.scan(accumulate, (state.batch_stats, zeros), parts)
        loss, gradients = jax.tree.map(lambda leaf: leaf / accumulate_steps, sums)

    if axis_name is not None:
        if getattr(model, "axis_name", None) == axis_name:
            loss, gradients = _average((loss, gradients), axis_name)
        else:
            loss, gradients, batch_stats = _average((loss, gradients, batch_stats), axis_name)
    opt_state, controlled = state.opt_state, None
    if schedule is not None:
        controlled = get_learning_rate(opt_state)
        used = controlled * schedule(state.step).astype(controlled.dtype)
        opt_state = set_learning_rate(opt_state, used)
    updates, opt_state = tx.update(gradients, opt_state, state.params)
    metrics = {"loss": loss}
    if has_learning_rate(opt_state):
        # Read after the update, because an optimizer with its own schedule computes it there.
        metrics["learning_rate"] = get_learning_rate(opt_state)
    if controlled is not None:
        opt_state = set_learning_rate(opt_state, controlled)
    step, params = state.step + 1, optax.apply_updates(state.params, updates)
    ema = state.ema
    if ema_decay:
        variables = {"params": params, "batch_stats": batch_stats}
        ema = update_ema(ema, variables, step, ema_decay)
    state = state.replace(  # type: ignore[attr-defined]
        step=step, params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema
    )
    return state, metrics


@struct.dataclass
class Totals:
    """Sums over the batches evaluated so far.

    Attributes:
        step: batches evaluated.
        count: examples evaluated.
        correct: examples classified rightly.
        loss: sum of the examples' losses.
    """

    step: Array
    count: Array
    correct: Array
    loss: Array


def zero_totals() -> Totals:
    """The sums before the first batch."""
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
    """Evaluates the next batch, in evaluation mode; examples that fill it up do not count.

    Args:
        variables: the model's variables.
        plan: the data set in batches, or the next batch.
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
    count = jnp.sum(valid, dtype=jnp.int32)
    correct = jnp.sum(valid & (jnp.argmax(logits, -1) == labels), dtype=jnp.int32)
    loss = jnp.sum(jnp.where(valid, loss_fn(logits, labels), 0.0))
    if axis_name is not None:
        count, correct, loss = lax.psum((count, correct, loss), axis_name)
    return Totals(
        totals.step + 1, totals.count + count, totals.correct + correct, totals.loss + loss
    )


def _engine(engine: Engine | None, parallel: Parallel | None) -> Engine:
    if engine is None:
        return Engine.create("auto" if parallel is None else parallel)
    if parallel is not None:
        raise ValueError(f"give `parallel` (={parallel!r}) or `engine`, not both")
    return engine


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    *,
    parallel: Parallel | None = None,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
    schedule: Schedule | None = None,
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
    sync_batch_norm: bool = True,
) -> Callable[[TrainState, Batch | Epoch, Array], tuple[TrainState, dict[str, Array]]]:
    """Compiles ``train_step`` for all devices or an engine's; the state's buffers are donated.

    Args:
        model: the model; on several devices its ``axis_name`` is set to the engine's where it is
            None, so that BatchNorm shares its statistics.
        tx: the optimizer.
        parallel: ``"jit"`` over a mesh of all devices (the default, also as ``"auto"``) or
            ``"pmap"``: short for ``engine=Engine.create(parallel)``.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        schedule: of the learning rate, by the step; see ``train_step``.
        ema_decay: of the moving averages, for a state that has them (``create_state(ema=True)``).
        accumulate_steps: micro-batches; see ``train_step``.
        sync_batch_norm: False leaves BatchNorm's statistics per device.

    Returns:
        ``step(state, batch, key) -> (state, metrics)``, for a state of ``engine.replicate`` and a
        batch of ``engine.place``.

    Raises:
        ValueError: for an unknown ``parallel`` or one beside an engine, or an ``ema_decay`` out of
            range.
    """
    engine = _engine(engine, parallel)
    check_decay(ema_decay)
    body = partial(
        train_step,
        model=engine.bind(model, sync_batch_norm=sync_batch_norm),
        tx=tx,
        loss_fn=loss_fn,
        prepare=prepare,
        schedule=schedule,
        ema_decay=ema_decay,
        accumulate_steps=accumulate_steps,
        axis_name=engine.mapped_axis,
    )
    return engine.compile_train(body)


def make_eval_step(
    model: nn.Module,
    *,
    parallel: Parallel | None = None,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
) -> Callable[[Any, EvalPlan | EvalBatch, Totals, Array], Totals]:
    """Compiles ``eval_step`` for all devices or an engine's.

    Args:
        model: the model.
        parallel: short for ``engine=Engine.create(parallel)``.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.

    Returns:
        ``step(variables, plan, totals, key) -> totals``, for variables and totals of
        ``engine.replicate`` and a plan of ``engine.place``.

    Raises:
        ValueError: for an unknown ``parallel`` or one beside an engine.
    """
    engine = _engine(engine, parallel)
    body = partial(
        eval_step, model=model, loss_fn=loss_fn, prepare=prepare, axis_name=engine.mapped_axis
    )
    return engine.compile_eval(body)
