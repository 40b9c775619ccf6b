"""The training step: a pure function over pytrees, compiled for one device or several.

BatchNorm in training takes its statistics from the whole batch by default, whatever the number
of devices, so that this number changes no result. They may also stay per device
(`sync_batch_norm=False`): each device then normalises with the statistics of its own examples,
and the running statistics are averaged over the devices, so that all keep the same ones. torch's
`DistributedDataParallel` normalises likewise, but keeps the running statistics of rank 0.
A model takes part by an attribute `axis_name`, as `ResNet` does; the statistics of a model without
one stay per device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array, lax

from .batches import Batch, Epoch
from .ema import check_decay, update_ema
from .engine import Engine, Parallel, choose_engine
from .learning_rate import get_learning_rate, has_learning_rate, set_learning_rate
from .losses import LossFunction, check_labels, cross_entropy, is_correct
from .preparation import Prepare, as_is, dropout_key, example_keys
from .reductions import ReduceDtype, average, average_gradients, check_reduce_dtype
from .schedules import Schedule
from .state import TrainState


def _micro_batches(tree: Any, count: int) -> Any:
    """Cut the leading axis into `count` strided parts, `[count, batch / count, ...]`.

    They are strided because each device can then cut what it holds, and part `i` has the same
    examples on any number of devices.

    Raises:
        ValueError: if the parts would not be equal.
    """

    def cut(leaf: Array) -> Array:
        if count < 1 or leaf.shape[0] % count:
            raise ValueError(
                f"`accumulate_steps` (={count}) must divide the batch of each device "
                f"(={leaf.shape[0]})"
            )
        return jnp.moveaxis(jnp.reshape(leaf, (-1, count, *leaf.shape[1:])), 1, 0)

    return jax.tree.map(cut, tree)


def _as_before(new: Array, old: Array) -> Array:
    """Return a leaf of the new state in the type that it had."""
    return new if new.dtype == old.dtype else new.astype(old.dtype)


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
    count_correct: bool = False,
    axis_name: str | None = None,
    reduce_dtype: ReduceDtype = "float32",
) -> tuple[TrainState, dict[str, Array]]:
    """Make one step: forward in training mode, mean loss, backward, optimizer.

    Args:
        state: the state before.
        batch: the batch, or the epoch in which the state's step selects the batch.
        key: the run's random key; the step number is folded in.
        model: the model, called as
            `model.apply(variables, images, train=True, mutable=..., rngs={"dropout": key})`.
        tx: the optimizer.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        schedule: multiplies the learning rate of this step; the state keeps the rate itself.
        ema_decay: decay of the state's moving averages; 0 for a state without any.
        accumulate_steps: number of micro-batches, which are done one after the other to save
            memory; their gradients and losses are averaged. BatchNorm normalises each with its own
            statistics and moves the running ones once for each, so that a model with BatchNorm
            gets other numbers than from the whole batch; without it they are the same.
        count_correct: also count the examples whose highest logit is that of their label, which
            must be an integer.
        axis_name: the mapped axis over which gradients and loss are averaged, if any; the running
            statistics are averaged, too, if the model does not share them (by its `axis_name`).
        reduce_dtype: how gradients are summed over the mapped axis: `"float32"`, as they are, or
            `"bfloat16"`, rounded, which sends half the bytes.

    Returns:
        The state after, and the scalars `{"loss": ..., "learning_rate": ...}`: the batch's mean
        loss in nats and the learning rate that the update used. An optimizer whose state has no
        learning rate gives the loss alone. With `count_correct` also `{"correct": ...}`, an int32.

    Raises:
        ValueError: if the prepared labels are neither `[batch]` integers nor `[batch, classes]`
            (which cannot be counted), if there is a `schedule` and the optimizer's learning rate
            cannot be set, or if the state has moving averages and `ema_decay` is 0, or the other
            way round.
    """
    if bool(state.ema) != bool(ema_decay):
        raise ValueError(
            f"`ema_decay` (={ema_decay}) must be "
            + ("above 0 for a state with" if state.ema else "0 for a state without")
            + " moving averages; `create_state(..., ema=True)` makes one with them"
        )
    images, labels = batch.take(state.step)
    step_key = jax.random.fold_in(key, state.step)
    keys = example_keys(step_key, images.shape[0], axis_name)
    statistics = jax.tree.structure(state.batch_stats)

    def mean_loss(
        params: Any, batch_stats: Any, part: Any, examples: Any
    ) -> tuple[Array, tuple[Any, dict[str, Array]]]:
        images, labels = prepare(*examples)
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key(step_key, part, axis_name)},
        )
        check_labels(labels, logits, integers_only=count_correct)
        # Flax returns a dict, also of a `FrozenDict`.
        updated = jax.tree.unflatten(statistics, jax.tree.leaves(updates.get("batch_stats", {})))
        counts = {}
        if count_correct:
            counts["correct"] = jnp.sum(is_correct(logits, labels), dtype=jnp.int32)
        return loss_fn(logits, labels).mean(), (updated, counts)

    def micro_step(batch_stats: Any, part: Any, examples: Any) -> tuple[Any, tuple[Any, Any]]:
        (loss, (batch_stats, counts)), gradients = jax.value_and_grad(mean_loss, has_aux=True)(
            state.params, batch_stats, part, examples
        )
        return batch_stats, ((loss, gradients), counts)

    examples = (images, labels, keys)
    if accumulate_steps == 1:
        batch_stats, ((loss, gradients), counts) = micro_step(state.batch_stats, 0, examples)
    else:

        def accumulate(carry: Any, numbered: Any) -> tuple[Any, None]:
            batch_stats, sums = carry
            batch_stats, results = micro_step(batch_stats, *numbered)
            return (batch_stats, jax.tree.map(jnp.add, sums, results)), None

        parts = (
            jnp.arange(accumulate_steps, dtype=jnp.int32),
            _micro_batches(examples, accumulate_steps),
        )
        first = jax.tree.map(lambda leaf: leaf[0], parts)
        shapes = jax.eval_shape(micro_step, state.batch_stats, *first)[1]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        (batch_stats, sums), _ = lax.scan(accumulate, (state.batch_stats, zeros), parts)
        averages, counts = sums
        loss, gradients = jax.tree.map(lambda leaf: leaf / accumulate_steps, averages)

    if axis_name is not None:
        gradients = average_gradients(gradients, axis_name, reduce_dtype)
        loss = average(loss, axis_name)
        if getattr(model, "axis_name", None) != axis_name:
            batch_stats = average(batch_stats, axis_name)
        counts = lax.psum(counts, axis_name)
    opt_state, controlled = state.opt_state, None
    if schedule is not None:
        controlled = get_learning_rate(opt_state)
        used = controlled * jnp.asarray(schedule(state.step), controlled.dtype)
        opt_state = set_learning_rate(opt_state, used)
    with jax.numpy_dtype_promotion("standard"):  # which optax takes for granted
        updates, opt_state = tx.update(gradients, opt_state, state.params)
    # Under `jax_enable_x64` a schedule may return float64; a state keeps its types.
    opt_state = jax.tree.map(_as_before, opt_state, state.opt_state)
    metrics = {"loss": loss, **counts}
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
    count_correct: bool = False,
    sync_batch_norm: bool = True,
    reduce_dtype: ReduceDtype = "float32",
) -> Callable[[TrainState, Batch | Epoch, Array], tuple[TrainState, dict[str, Array]]]:
    """Compile `train_step` for all devices or an engine's; the state's buffers are donated.

    Args:
        model: the model; on several devices its `axis_name` is set to the engine's if it is None,
            so that BatchNorm shares its statistics.
        tx: the optimizer.
        parallel: `"jit"` over a mesh of all devices (the default, also as `"auto"`) or `"pmap"`:
            short for `engine=Engine.create(parallel)`.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms the batch on the device.
        schedule: multiplies the learning rate, by the step; see `train_step`.
        ema_decay: decay of the moving averages, for a state that has them
            (`create_state(ema=True)`).
        accumulate_steps: number of micro-batches; see `train_step`.
        count_correct: also count the examples that are classified rightly; see `train_step`.
        sync_batch_norm: False leaves BatchNorm's statistics per device.
        reduce_dtype: how devices sum their gradients: `"float32"`, as they are, or `"bfloat16"`,
            rounded, which sends half the bytes; the parameters, the optimizer and everything else
            stay float32. It changes nothing where one device holds the whole batch.

    Returns:
        `step(state, batch, key) -> (state, metrics)`, for a state of `engine.replicate` and a
        batch of `engine.place`.

    Raises:
        ValueError: if `parallel` is unknown or given beside an engine, if `ema_decay` is out of
            range, or if `reduce_dtype` is unknown.
    """
    engine = choose_engine(engine, parallel)
    check_decay(ema_decay)
    check_reduce_dtype(reduce_dtype)
    body = partial(
        train_step,
        model=engine.bind(model, sync_batch_norm=sync_batch_norm),
        tx=tx,
        loss_fn=loss_fn,
        prepare=prepare,
        schedule=schedule,
        ema_decay=ema_decay,
        accumulate_steps=accumulate_steps,
        count_correct=count_correct,
        axis_name=engine.mapped_axis,
        reduce_dtype=reduce_dtype,
    )
    return engine.compile_train(body)
