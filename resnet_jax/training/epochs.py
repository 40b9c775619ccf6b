"""Whole epochs in one compiled program: the steps run under `lax.scan`, on the device.

The host starts one program an epoch and reads its losses when it is done, so that small steps wait
for no host. The examples are shuffled on the device. The numbers are those of a loop over
`train_step` with the same keys; on several devices, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax import Array, lax

from ..data import epoch_permutation
from .batches import Epoch, EvalPlan, epoch_order
from .ema import check_decay
from .engine import Engine, Parallel, choose_engine
from .eval_steps import Totals, eval_step
from .losses import LossFunction, cross_entropy
from .preparation import Prepare, as_is
from .reductions import ReduceDtype, check_reduce_dtype
from .scalars import plain
from .schedules import Schedule
from .state import TrainState
from .steps import train_step

Step = Callable[[TrainState, Epoch, Array], tuple[TrainState, dict[str, Array]]]


@struct.dataclass
class Examples:
    """A data set, whole on every device.

    Attributes:
        images: `[n, height, width, channels]` uint8.
        labels: `[n]` integers.
    """

    images: Any
    labels: Any

    @property
    def split_axes(self) -> Examples:
        """The axis of each leaf that the devices share out; -1 for none."""
        return Examples(-1, -1)


def train_epoch(
    state: TrainState,
    examples: Examples,
    keys: tuple[Array, Array],
    *,
    step: Step,
    batch_size: int,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """Make all steps of an epoch over shuffled full batches; a ragged tail is dropped.

    The number of the epoch follows from the state's step, so that all epochs share a compilation.

    Args:
        state: the state before, after a whole number of epochs.
        examples: the data set.
        keys: the run's keys for the order of the examples (see `epoch_permutation`) and for the
            steps.
        step: makes one step of an `Epoch`, as `train_step` does.
        batch_size: examples per step, over all devices.
        axis_name: the mapped axis over which the devices share a batch, if any.

    Returns:
        The state after, and the step's scalars, `[steps]` each.

    Raises:
        ValueError: if there is not one full batch.
    """
    count = len(examples.labels)
    if not 1 <= batch_size <= count:
        raise ValueError(
            f"`batch_size` (={batch_size}) must be from 1 to {count}, the number of examples"
        )
    shuffle_key, step_key = keys
    number = lax.div(state.step, jnp.asarray(count // batch_size, state.step.dtype))
    order = epoch_order(epoch_permutation(shuffle_key, number, count), batch_size)
    if axis_name is not None:
        share = batch_size // lax.axis_size(axis_name)
        first = lax.axis_index(axis_name) * share
        order = lax.dynamic_slice_in_dim(order, first, share, axis=1)
    epoch = Epoch(examples.images, examples.labels, order)

    def make_step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
        return step(state, epoch, step_key)

    return lax.scan(make_step, state, None, length=len(order))


def make_train_epoch(
    model: nn.Module,
    tx: optax.GradientTransformation,
    *,
    batch_size: int,
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
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Compile `train_epoch` for all devices or an engine's; the state's buffers are donated.

    Args:
        model: the model, as for `make_train_step`.
        tx: the optimizer.
        batch_size: examples per step, over all devices.
        parallel: short for `engine=Engine.create(parallel)`.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms each batch on the device.
        schedule: multiplies the learning rate, by the step; see `train_step`.
        ema_decay: decay of the moving averages, for a state that has them.
        accumulate_steps: number of micro-batches; see `train_step`.
        count_correct: also count the examples that are classified rightly; see `train_step`.
        sync_batch_norm: False leaves BatchNorm's statistics per device.
        reduce_dtype: how devices sum their gradients; see `make_train_step`.

    Returns:
        `epoch(state, examples, keys) -> (state, metrics)`, for a state of `engine.replicate`,
        `Examples` of `engine.place` and two keys of `engine.share`; with one device also
        `epoch.lower`, to compile ahead of time.

    Raises:
        ValueError: if `parallel` is unknown or given beside an engine, the devices cannot share a
            batch evenly, `ema_decay` is out of range, or `reduce_dtype` is unknown.

    >>> tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    >>> epoch = make_train_epoch(nn.Dense(10), tx, batch_size=64)
    """
    engine = choose_engine(engine, parallel)
    batch_size = plain("batch_size", batch_size)
    engine.check_batch_size(batch_size, accumulate_steps)
    check_decay(ema_decay)
    check_reduce_dtype(reduce_dtype)
    step = partial(
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
    return engine.compile_train(
        partial(train_epoch, step=step, batch_size=batch_size, axis_name=engine.mapped_axis)
    )


def eval_epoch(
    variables: Any,
    plan: EvalPlan,
    totals: Totals,
    key: Array,
    *,
    step: Callable[[Any, EvalPlan, Totals, Array], Totals],
) -> Totals:
    """Evaluate all batches of a plan.

    Args:
        variables: the model's variables.
        plan: the data set in batches.
        totals: the sums before the first batch, see `zero_totals`.
        key: a random key, for a step that draws random numbers.
        step: evaluates one batch, as `eval_step` does.
    """

    def make_step(totals: Totals, _: None) -> tuple[Totals, None]:
        return step(variables, plan, totals, key), None

    return lax.scan(make_step, totals, None, length=len(plan.order))[0]


def make_eval_epoch(
    model: nn.Module,
    *,
    parallel: Parallel | None = None,
    engine: Engine | None = None,
    loss_fn: LossFunction = cross_entropy,
    prepare: Prepare = as_is,
) -> Callable[..., Totals]:
    """Compile `eval_epoch` for all devices or an engine's.

    Args:
        model: the model.
        parallel: short for `engine=Engine.create(parallel)`.
        engine: the devices and how to use them.
        loss_fn: the loss per example.
        prepare: transforms each batch on the device.

    Returns:
        `evaluate(variables, plan, totals, key) -> totals`, for variables and totals of
        `engine.replicate`, and an `EvalPlan` of `engine.place`.

    Raises:
        ValueError: if `parallel` is unknown or given beside an engine.
    """
    engine = choose_engine(engine, parallel)
    step = partial(
        eval_step, model=model, loss_fn=loss_fn, prepare=prepare, axis_name=engine.mapped_axis
    )
    return engine.compile_eval(partial(eval_epoch, step=step))
