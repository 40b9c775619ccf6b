"""Everything that a loop needs and that does not change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..data import ImageStream, epoch_permutation
from ..storage import one_line
from ..training import (
    Batch,
    Engine,
    Epoch,
    Prepare,
    ReduceLROnPlateau,
    Schedule,
    TrainState,
    create_state,
    epoch_order,
    eval_order,
    get_learning_rate,
    has_own_schedule,
    make_eval_step,
    make_train_step,
)
from .config import FitConfig
from .examples import Examples, open_examples
from .identity import Identity, describe, layout
from .task import Phase, Task, check_labels, steps_per_epoch

TrainStep = Callable[..., tuple[TrainState, dict[str, Array]]]

Order = tuple[np.ndarray, np.ndarray]
"""Positions `[steps, batch]` of examples, and which of them count."""


@dataclass(frozen=True)
class Plan:
    """What a loop needs: compiled steps, data on the devices, keys, and orders of examples.

    Attributes:
        task: what is trained on what.
        config: how to train.
        engine: the devices.
        steps: optimizer steps in an epoch.
        fresh: the initial state, on one device.
        identity: what must be the same when the run is resumed.
        train_steps: the training step of each phase, compiled when it is first called; one step
            if there are no phases.
        eval_step: the compiled evaluation step.
        train_data: the training examples.
        valid_data: the validation examples.
        shuffle_key: key of the order of the training examples.
        step_key: key of the training steps, on the devices.
        eval_key: key of the evaluation steps, on the devices.
    """

    task: Task
    config: FitConfig
    engine: Engine
    steps: int
    fresh: TrainState
    identity: Identity
    train_steps: tuple[TrainStep, ...]
    eval_step: Callable[..., Any]
    train_data: Examples
    valid_data: Examples
    shuffle_key: Array
    step_key: Array
    eval_key: Array

    def phase(self, epoch: int) -> Phase | None:
        """Return the phase of an epoch; None if there are no phases.

        Args:
            epoch: counted from 0.
        """
        begun = [phase for phase in self.task.phases if phase.first_epoch <= epoch]
        return begun[-1] if begun else None

    def train_step(self, epoch: int) -> TrainStep:
        """Return the training step of an epoch.

        Args:
            epoch: counted from 0.
        """
        phase = self.phase(epoch)
        return self.train_steps[0 if phase is None else self.task.phases.index(phase)]

    def train_batches(self, epoch: int, first: int = 0) -> Generator[Batch | Epoch, None, None]:
        """Yield what each training step of an epoch takes.

        Args:
            epoch: counted from 0.
            first: the step of the epoch to begin with, from 0.
        """
        order = epoch_permutation(self.shuffle_key, epoch, len(self.task.train))
        batches = epoch_order(order, self.config.batch_size)
        phase = self.phase(epoch)
        side = None if phase is None else phase.side
        return self.train_data.batches(batches, first, epoch=epoch, side=side)

    def train_order(self, epoch: int) -> Order:
        """Return the examples that an epoch's training accuracy is taken over.

        Args:
            epoch: counted from 0.
        """
        if not self.config.evaluate_as_trained:
            return self._every(len(self.task.train))
        # The reference's loader shuffles anew and drops its ragged tail when it is evaluated, too.
        key = jax.random.fold_in(self.shuffle_key, epoch)
        permutation = epoch_permutation(key, epoch, len(self.task.train))
        order = np.asarray(epoch_order(permutation, self.config.batch_size))
        return order, np.ones(order.shape, dtype=bool)

    def valid_order(self) -> Order:
        """Return the examples that the validation accuracy is taken over: every one once."""
        return self._every(len(self.task.valid))

    def _every(self, count: int) -> Order:
        size = self.config.eval_batch_size
        return eval_order(count, size, num_devices=self.engine.num_devices)


def make_plan(task: Task, config: FitConfig, engine: Engine, identity: Identity) -> Plan:
    """Check a task, initialise its state, and put its data where the steps take them.

    Args:
        task: what is trained on what.
        config: how to train.
        engine: the devices.
        identity: of the caller, which the plan's own extends.

    Raises:
        ValueError: if the batch does not fit the data or the devices, or a label, the variables
            to start from or the optimizer's state do not fit the model or this loop.
    """
    engine.check_batch_size(config.batch_size, config.accumulate_steps)
    if config.evaluate_as_trained and isinstance(task.train, ImageStream):
        raise ValueError(
            "`evaluate_as_trained` (=True) takes images in memory; a stream crops in the middle"
        )
    steps = steps_per_epoch(len(task.train), config.batch_size)
    _check_valid(task)
    # Independent streams, whatever is added later.
    root = jax.random.key(config.seed)
    init_key, shuffle_key, step_key, eval_key = (jax.random.fold_in(root, at) for at in range(4))
    shape = (1, *task.train.images.shape[1:])
    fresh = create_state(
        task.model, task.tx, init_key, shape, variables=task.variables, ema=config.ema_decay > 0
    )
    _check_rate(task, fresh)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    logits: Any = jax.eval_shape(task.model.apply, fresh.variables, images)
    check_labels(task.train, logits.shape[-1], "training")
    check_labels(task.valid, logits.shape[-1], "validation")
    train_data, valid_data = open_examples(
        (task.train, task.valid), engine, config.resident_gigabytes, config.seed
    )
    return Plan(
        task=task,
        config=config,
        engine=engine,
        steps=steps,
        fresh=fresh,
        identity=identity | _identity(task, config, fresh),
        train_steps=tuple(_make_step(task, config, engine, prepare) for prepare in task.prepares),
        eval_step=make_eval_step(task.model, engine=engine, prepare=task.prepare_valid),
        train_data=train_data,
        valid_data=valid_data,
        shuffle_key=shuffle_key,
        step_key=engine.share(step_key),
        eval_key=engine.share(eval_key),
    )


def _make_step(task: Task, config: FitConfig, engine: Engine, prepare: Prepare) -> TrainStep:
    """Return the training step with one way to prepare batches; it compiles when it is called."""
    return make_train_step(
        task.model,
        task.tx,
        engine=engine,
        loss_fn=task.loss_fn,
        prepare=prepare,
        schedule=task.schedule,
        ema_decay=config.ema_decay,
        accumulate_steps=config.accumulate_steps,
        count_correct=config.train_accuracy == "running",
        reduce_dtype=config.reduce_dtype,
    )


def _check_valid(task: Task) -> None:
    """Raise if the first evaluation, after an epoch of training, could not take the images."""
    if not len(task.valid):
        raise ValueError("`valid` holds no image; every epoch is evaluated on at least one")
    ours, trained = (part.images.shape[1:] for part in (task.valid, task.train))
    if ours == trained:
        return
    images, labels = (
        jax.ShapeDtypeStruct((1, *rest), dtype) for rest, dtype in ((ours, "uint8"), ((), "int32"))
    )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    try:
        shape = jax.eval_shape(task.prepare_valid, images, labels, keys)[0].shape
        expected = (1, *trained)
        prepared = jax.eval_shape(
            task.prepare_valid, jax.ShapeDtypeStruct(expected, "uint8"), labels, keys
        )[0].shape
        if shape != prepared:
            raise ValueError(f"it makes {shape[1:]} and {prepared[1:]} of them")
    except ValueError as error:
        raise ValueError(
            f"`valid` has images of shape {ours}, but those of `train` have {trained}, and "
            f"`prepare_valid` does not make them alike: {one_line(error)}"
        ) from error


def _check_rate(task: Task, fresh: TrainState) -> None:
    """Raise where a learning rate would be set without effect."""
    get_learning_rate(fresh.opt_state)
    for name in ("controller", "schedule"):
        if has_own_schedule(fresh.opt_state) and getattr(task, name) is not None:
            raise ValueError(
                f"`{name}` would have no effect on the learning rate, because the optimizer `tx` "
                f"has a schedule of its own; leave out `{name}`, or make the optimizer with a "
                "number as its learning rate"
            )


def _identity(task: Task, config: FitConfig, fresh: TrainState) -> Identity:
    """Return what must be the same when a run of this task is resumed."""
    names = (
        "batch_size",
        "seed",
        "scheduler_on",
        "evaluate_as_trained",
        "train_accuracy",
        "accumulate_steps",
        "ema_decay",
        "reduce_dtype",
    )
    values = {
        **{name: getattr(config, name) for name in names},
        "initial_learning_rate": str(get_learning_rate(fresh.opt_state)),
        "controller": None if task.controller is None else asdict(task.controller),
        "schedule": None if task.schedule is None else asdict(task.schedule),
        "image_sizes": [[phase.first_epoch, phase.side] for phase in task.phases],
        "training_data": describe(task.train),
        "validation_data": describe(task.valid),
        **layout(fresh),
    }
    defaults = {
        **{name: getattr(FitConfig, name) for name in names},
        "controller": asdict(ReduceLROnPlateau()),
        "image_sizes": [],
    }
    if task.schedule is not None:
        defaults["schedule"] = {name: getattr(Schedule, name) for name in ("milestones", "gamma")}
    return Identity(values, defaults)
