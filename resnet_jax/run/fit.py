"""The training loop: epochs of steps, evaluation, the scheduler, log and checkpoints.

It alone in this package writes files and prints; what it calls is pure.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from rich.console import Console

from ..data import Arrays, epoch_permutation
from ..training.batches import epoch_order, eval_order
from ..training.ema import check_decay
from ..training.engine import Engine, Parallel
from ..training.optimizer import get_learning_rate, set_learning_rate
from ..training.plateau import ReduceLROnPlateau
from ..training.schedules import Schedule
from ..training.state import TrainState, create_state
from ..training.steps import (
    LossFunction,
    Prepare,
    cross_entropy,
    make_eval_step,
    make_train_step,
    zero_totals,
)
from . import processes
from .checkpoints import CheckpointError, CheckpointStore
from .console import Reporter
from .examples import Examples, Resident, Streamed
from .folder import disk_errors_explained, run_lock
from .identity import changed_versions, check_identity, describe, layout, versions
from .interruption import Interrupted, StopRequest
from .record import History, RunRecord
from .sinks.jsonl import Logbook

TOGETHER_EVERY = 10
"""Steps after which several processes look together at signals and at the clock."""


class NonFiniteLossError(ArithmeticError):
    """The loss or a parameter became NaN or infinite; the message names the step."""


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Attributes:
        epochs: passes over the training data.
        batch_size: images a step, over all devices.
        eval_batch_size: images an evaluation step; changes nothing but speed and memory.
        seed: of the initialisation, the shuffling and the transforms.
        scheduler_on: what the plateau controller watches: the validation accuracy (%), or the
            epoch's last minibatch loss.
        evaluate_as_trained: evaluate the training accuracy on the loader's full batches with
            random crops, as the reference does, instead of on all images with the evaluation's
            transform.
        ema_decay: of moving averages of the parameters and statistics, which are evaluated then
            in their place; 0 keeps none.
        accumulate_steps: micro-batches a step, for less memory; see ``train_step``.
        resident_gigabytes: up to this size (of all images, in 10⁹ bytes) the data are kept whole
            on every device; larger ones stay in the host's memory and are streamed, to the same
            numbers.
        log_every: steps between two printed lines.
        checkpoint_every: steps between two checkpoints inside an epoch; 0 saves at its end only.
        checkpoint_minutes: the same by the clock; 0 does not look at it. Either, or both.
        parallel: how to use several devices.

    Raises:
        ValueError: on construction, for a value out of range.
    """

    epochs: int = 50
    batch_size: int = 256
    eval_batch_size: int = 256
    seed: int = 123
    scheduler_on: Literal["valid_acc", "minibatch_loss"] = "valid_acc"
    evaluate_as_trained: bool = False
    ema_decay: float = 0.0
    accumulate_steps: int = 1
    resident_gigabytes: float = 2.0
    log_every: int = 100
    checkpoint_every: int = 0
    checkpoint_minutes: float = 0.0
    parallel: Parallel = "auto"

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "eval_batch_size",
            "accumulate_steps",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        for name in ("resident_gigabytes", "checkpoint_every", "checkpoint_minutes"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be finite and at least 0")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` (={self.seed}) must be in [0, 2**32)")
        check_decay(self.ema_decay)
        if self.scheduler_on not in ("valid_acc", "minibatch_loss"):
            raise ValueError(
                f"`scheduler_on` (={self.scheduler_on!r}) must be 'valid_acc' or 'minibatch_loss'"
            )
        if self.parallel not in ("auto", "jit", "pmap"):
            raise ValueError(f"`parallel` (={self.parallel!r}) must be 'auto', 'jit' or 'pmap'")


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` returns.

    Attributes:
        history: losses and accuracies.
        state: after the last step.
        learning_rates: in force at the last step of each epoch.
        best_epoch: the first with the highest validation accuracy, from 1.
        best_step: optimizer steps done then.
        seconds: of training and evaluation, summed over the resumed parts.
        images_per_second: training images over the time spent in training steps of this process,
            its first step (which compiles) left out; None if it made no second step.
    """

    history: History
    state: TrainState
    learning_rates: list[float]
    best_epoch: int
    best_step: int
    seconds: float
    images_per_second: float | None


@dataclass(frozen=True)
class Task:
    """What is trained on what.

    Attributes:
        model: a linen module from images to logits.
        tx: an optimizer of ``make_optimizer``, or any with its learning rate in its state by
            ``optax.inject_hyperparams``.
        controller: of the learning rate, after each epoch; None leaves it alone.
        train: images to train on.
        valid: images to validate on.
        prepare: transforms a training batch on the device.
        prepare_valid: transforms a batch of the training or validation accuracy.
        schedule: multiplies the learning rate by the step; None leaves it alone.
        loss_fn: the training loss per example.
        variables: the model's, to start from (fine-tuning); None initialises new ones.
    """

    model: nn.Module
    tx: optax.GradientTransformation
    controller: ReduceLROnPlateau | None
    train: Arrays
    valid: Arrays
    prepare: Prepare
    prepare_valid: Prepare
    schedule: Schedule | None = None
    loss_fn: LossFunction = cross_entropy
    variables: Mapping[str, Any] | None = None


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Full batches in an epoch; the ragged tail is dropped.

    Raises:
        ValueError: if there is not one full batch.
    """
    if batch_size > num_images:
        raise ValueError(
            f"`batch_size` (={batch_size}) must not exceed the number of training images "
            f"(={num_images})"
        )
    return num_images // batch_size


def check_labels(arrays: Arrays, num_classes: int, name: str) -> None:
    """Raises unless all labels are classes of the model.

    Args:
        arrays: images and labels.
        num_classes: of the model.
        name: what they are, for the message.

    Raises:
        ValueError: naming the first that is not.
    """
    wrong = np.flatnonzero((arrays.labels < 0) | (arrays.labels >= num_classes))
    if wrong.size:
        raise ValueError(
            f"the label of {name} image {wrong[0]} (={arrays.labels[wrong[0]]}) must be in "
            f"[0, {num_classes}), the classes of the model; so of {wrong.size} images"
        )


def fit(
    task: Task,
    config: FitConfig,
    *,
    run_dir: Path | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> FitResult:
    """Trains a model, evaluating it after every epoch.

    A run that is resumed, from whatever step, ends with the same numbers to the bit as one that
    was not stopped, on the same devices and with the same versions of the libraries.

    SIGTERM and SIGINT are noted while it runs (in the main thread only): the step is finished and
    saved, and ``Interrupted`` is raised. During an evaluation the state before it is saved; it is
    evaluated again when the run is resumed. A second signal ends the process at once.

    Args:
        task: what is trained on what.
        config: how to train.
        run_dir: gets ``metrics.jsonl`` and ``checkpoints/``, and is locked; None writes nothing.
        resume: go on from the newest whole checkpoint in ``run_dir``, or from the beginning if the
            run there was stopped before its first one. Damaged newer ones are moved to
            ``damaged/`` in ``run_dir``, with a warning.
        identity: JSON values that must be the same when a run is resumed, besides the data, the
            shapes of the state and what in ``config`` changes the numbers.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: before anything is written, if the batch does not fit the data or devices, or
            a label, the variables to start from or the optimizer's state do not fit the model
            or this loop.
        CheckpointError: if there is nothing to resume from, it belongs to another run, or a
            checkpoint cannot be saved; if ``run_dir`` holds a run that is not resumed.
        RunFolderError: if another run is using ``run_dir``, or it cannot be written to.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        Interrupted: if a signal asked to stop.
    """
    engine = Engine.create(config.parallel)
    engine.check_batch_size(config.batch_size, config.accumulate_steps)
    steps_per_epoch(len(task.train.labels), config.batch_size)
    first = processes.is_first()
    reporter = reporter or Reporter()
    if not first:
        reporter = Reporter(Console(quiet=True))
    with ExitStack() as stack:
        store = logbook = None
        if run_dir is not None:
            store = CheckpointStore(run_dir / "checkpoints")
            log_path = run_dir / "metrics.jsonl"
            logbook = Logbook(log_path) if first else None
            if resume and not store.folder.is_dir():
                raise CheckpointError(
                    f"there is no checkpoint to resume from: {store.folder} is missing"
                )
            with disk_errors_explained(run_dir):
                run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(run_lock(run_dir))
            if not resume and (store.steps or log_path.exists()):
                raise CheckpointError(f"{run_dir} holds a run; resume it, or name another folder")
            processes.wait_for_all("run folder")
            stack.enter_context(store)
        stop = stack.enter_context(StopRequest())
        run = _Run(task, config, engine, store, logbook, identity or {}, reporter, stop)
        return run.run(resume=resume)


class _Run:
    """One call of ``fit``."""

    def __init__(
        self,
        task: Task,
        config: FitConfig,
        engine: Engine,
        store: CheckpointStore | None,
        logbook: Logbook | None,
        identity: Mapping[str, Any],
        reporter: Reporter,
        stop: StopRequest,
    ) -> None:
        self.task, self.config, self.engine = task, config, engine
        self.store, self.logbook, self.reporter, self.stop = store, logbook, reporter, stop
        self.steps = steps_per_epoch(len(task.train.labels), config.batch_size)
        # Independent streams, whatever is added later.
        root = jax.random.key(config.seed)
        self.init_key, self.shuffle_key, step_key, eval_key = (
            jax.random.fold_in(root, stream) for stream in range(4)
        )
        self.step_key, self.eval_key = engine.share(step_key), engine.share(eval_key)

        shape = (1, *task.train.images.shape[1:])
        self.fresh = create_state(
            task.model,
            task.tx,
            self.init_key,
            shape,
            variables=task.variables,
            ema=config.ema_decay > 0,
        )
        # What the record keeps when nothing controls the learning rate is never updated.
        self.controller = task.controller or ReduceLROnPlateau()
        self.schedule_factors = _factors(task.schedule, self.steps * config.epochs)
        images = jax.ShapeDtypeStruct(shape, jnp.float32)
        logits: Any = jax.eval_shape(task.model.apply, self.fresh.variables, images)
        check_labels(task.train, logits.shape[-1], "training")
        check_labels(task.valid, logits.shape[-1], "validation")
        self.identity = {
            **identity,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "scheduler_on": config.scheduler_on,
            "evaluate_as_trained": config.evaluate_as_trained,
            "accumulate_steps": config.accumulate_steps,
            "ema_decay": config.ema_decay,
            "initial_learning_rate": str(get_learning_rate(self.fresh.opt_state)),
            "controller": None if task.controller is None else asdict(task.controller),
            "schedule": None if task.schedule is None else asdict(task.schedule),
            "training_data": describe(task.train),
            "validation_data": describe(task.valid),
            **layout(self.fresh),
        }

        self.train_step = make_train_step(
            task.model,
            task.tx,
            engine=engine,
            loss_fn=task.loss_fn,
            prepare=task.prepare,
            schedule=task.schedule,
            ema_decay=config.ema_decay,
            accumulate_steps=config.accumulate_steps,
        )
        self.valid_step = make_eval_step(task.model, engine=engine, prepare=task.prepare_valid)
        size = task.train.images.nbytes + task.valid.images.nbytes
        source = Resident if size <= 1e9 * config.resident_gigabytes else Streamed
        self.train_data: Examples = source(task.train, engine)
        self.valid_data: Examples = source(task.valid, engine)
        self.train_order = self._eval_order(task.train)
        self.valid_order = self._eval_order(task.valid)
        self.training_seconds = 0.0
        self.timed_steps = -1  # The first one compiles.
        self.saved_step: int | None = None
        self.saved_at = self.started = time.perf_counter()
        self.seconds_before = 0.0
        self.signum: int | None = None
        self.unsaved_seconds = 0.0

    def _eval_order(self, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Every image once."""
        return eval_order(
            len(arrays.labels), self.config.eval_batch_size, num_devices=self.engine.num_devices
        )

    def run(self, *, resume: bool) -> FitResult:
        config = self.config
        state, record = self._start(resume=resume)
        self.seconds_before, self.started = record.seconds, time.perf_counter()
        self.saved_at = self.started
        state = self.engine.replicate(state)
        for epoch in range(record.epoch, config.epochs):
            state = self._train(epoch, state, record)
            state = self._end_epoch(epoch, state, record)
        self.reporter.line(f"Total Training Time: {record.seconds / 60:.2f} min")
        rate = None
        if self.timed_steps > 0:
            rate = self.timed_steps * config.batch_size / self.training_seconds
        return FitResult(
            history=record.history,
            state=self.engine.unreplicate(state),
            learning_rates=record.last_learning_rates(self.steps),
            best_epoch=record.best_epoch,
            best_step=record.best_step,
            seconds=record.seconds,
            images_per_second=rate,
        )

    def _start(self, *, resume: bool) -> tuple[TrainState, RunRecord]:
        """The state to begin with: a new one, or the newest whole checkpoint's."""
        fresh, store, logbook = self.fresh, self.store, self.logbook
        with jax.enable_x64(True):
            rate = float(get_learning_rate(fresh.opt_state))
            record = RunRecord(self.controller.init(rate), factors=self.schedule_factors)
        if store is None:
            return fresh, record
        step, damages = store.newest_whole() if resume else (None, {})
        # Before the first process moves anything, all have seen the same.
        processes.wait_for_all("checkpoints looked at")
        if step is None:
            with disk_errors_explained(store.folder.parent):
                store.folder.mkdir(exist_ok=True)
                if logbook is not None:
                    logbook.rewrite(())
            if resume:
                self.reporter.line(f"No checkpoint in {store.folder} yet: starting anew")
            return fresh, record

        origin = store.folder / str(step)
        saved = store.read_progress(step)
        identity, saved_with = saved.get("identity"), saved.get("versions")
        if not (isinstance(identity, dict) and isinstance(saved_with, dict)):
            raise CheckpointError(f"cannot resume from {origin}: it is not of a run")
        check_identity(identity, self.identity, origin)
        try:
            record = RunRecord.from_json(
                saved, self.controller, self.steps, factors=self.schedule_factors
            )
        except ValueError as error:
            raise CheckpointError(f"cannot resume from {origin}: {error}") from error
        if record.step > self.config.epochs * self.steps:
            begun = -(-record.step // self.steps)
            raise CheckpointError(
                f"`epochs` (={self.config.epochs}) must be at least {begun}, the epoch that "
                f"{origin} is of"
            )
        state = store.read_state(step, self.engine.abstract(fresh))
        if not record.step == step == int(state.step):
            raise CheckpointError(f"cannot resume from {origin}: it is of step {record.step}")
        if logbook is not None:
            self._tidy(store, logbook, damages, record)
        if damages:
            processes.wait_for_all("damaged checkpoints")
            store.look_again()
        changes = changed_versions(saved_with)
        if changes:
            self.reporter.line(f"Warning: numbers may differ from before, {changes}")
        self.reporter.line(f"Resuming after step {step}")
        self.saved_step = step
        return state, record

    def _tidy(
        self,
        store: CheckpointStore,
        logbook: Logbook,
        damages: Mapping[int, str],
        record: RunRecord,
    ) -> None:
        """Puts damaged checkpoints aside, and the log at the step to go on from."""
        with disk_errors_explained(store.folder.parent):
            for damaged, damage in damages.items():
                place = store.set_aside(damaged)
                self.reporter.line(
                    f"Warning: checkpoint {damaged} is damaged ({damage}); moved to {place}"
                )
            logbook.rewrite(record.events(self.steps))

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _train(self, epoch: int, state: TrainState, record: RunRecord) -> TrainState:
        """The steps of an epoch that are still to do."""
        config = self.config
        done = record.step - epoch * self.steps
        permutation = epoch_permutation(self.shuffle_key, epoch, len(self.task.train.labels))
        order = epoch_order(permutation, config.batch_size)
        title = f"Epoch {epoch + 1:03d}/{config.epochs:03d}"
        pending: Array | None = None
        with (
            closing(self.train_data.batches(order, done)) as batches,
            self.reporter.bar(title, self.steps - done, config.batch_size) as bar,
        ):
            for batch, examples in zip(range(done, self.steps), batches, strict=True):
                self._look_around(batch)
                if self.signum is not None:
                    break
                start = time.perf_counter()
                state, metrics = self.train_step(state, examples, self.step_key)
                # The step before is read while this one runs, so that the device never waits.
                if pending is not None:
                    self._record(pending, record)
                pending = metrics["loss"]
                if self.timed_steps >= 0:
                    self.training_seconds += time.perf_counter() - start
                self.timed_steps += 1
                bar.advance()
                if batch + 1 < self.steps and self._is_due(epoch * self.steps + batch + 1):
                    self._record_last(pending, record)
                    pending = None
                    self._save(state, record)
            if pending is not None:
                self._record_last(pending, record)
        self._stop_if_asked(state, record)
        return state

    def _look_around(self, step: int) -> None:
        """Notes a signal that came, and the time; all processes do so at the same step."""
        if jax.process_count() > 1 and step % TOGETHER_EVERY:
            return
        self.signum = int(processes.largest(self.stop.signum or 0)) or None
        self.unsaved_seconds = processes.largest(time.perf_counter() - self.saved_at)

    def _record_last(self, loss: Array, record: RunRecord) -> None:
        """Takes down a loss that no other step is computed beside."""
        start = time.perf_counter()
        self._record(loss, record)
        self.training_seconds += time.perf_counter() - start

    def _is_due(self, step: int) -> bool:
        """Whether to save after a step inside an epoch."""
        every, minutes = self.config.checkpoint_every, self.config.checkpoint_minutes
        by_step = every > 0 and step % every == 0
        return by_step or 0 < 60 * minutes <= self.unsaved_seconds

    def _record(self, loss: Array, record: RunRecord) -> None:
        """Takes down the loss of the next step."""
        value = float(loss)
        epoch, batch = divmod(record.step, self.steps)
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss of step {record.step + 1} (epoch {epoch + 1}, batch {batch + 1} of "
                f"{self.steps}) is {value} at learning rate "
                f"{self._rate(record, record.step + 1):g}; a lower one would do.{self._kept()}"
            )
        record.history.minibatch_losses.append(value)
        if self.logbook is not None:
            self.logbook.write(record.step_event(record.step, self.steps))
        if batch % self.config.log_every == 0:
            self._flush()
            self.reporter.line(
                f"Epoch: {epoch + 1:03d}/{self.config.epochs:03d} | "
                f"Batch {batch:04d}/{self.steps:04d} | Loss: {value:.4f}"
            )

    def _rate(self, record: RunRecord, step: int) -> float:
        return record.learning_rate(step, self.steps)

    def _kept(self) -> str:
        return "" if self.store is None else f" Checkpoints up to then are in {self.store.folder}."

    def _flush(self) -> None:
        if self.logbook is not None:
            with disk_errors_explained(self.logbook.path.parent):
                self.logbook.flush()

    def _save(self, state: TrainState, record: RunRecord) -> None:
        """Saves, unless this step is: evaluated or not, its state is the same.

        A checkpoint from before an evaluation, of which only a stopped run has one, therefore
        stays when the evaluation is done; resuming from it does it again.
        """
        if self.store is None or self.saved_step == record.step:
            return
        if not bool(_is_finite(self.engine.unreplicate(state))):
            epoch, batch = divmod(record.step - 1, self.steps)
            raise NonFiniteLossError(
                f"a parameter is not finite after step {record.step} (epoch {epoch + 1}, batch "
                f"{batch + 1} of {self.steps}) at learning rate "
                f"{self._rate(record, record.step):g}; a lower one would do.{self._kept()}"
            )
        record.seconds = self._seconds()
        self._flush()
        self.store.save(
            self.engine.to_global(state),
            {"identity": self.identity, "versions": versions(), **record.to_json()},
            best_step=record.best_step,
        )
        self.saved_step, self.saved_at = record.step, time.perf_counter()
        self.unsaved_seconds = 0.0

    def _stop_if_asked(self, state: TrainState, record: RunRecord) -> None:
        """Saves and raises, if a signal came.

        Raises:
            Interrupted: saying after which step.
        """
        signum = self.signum
        if signum is None:
            return
        kept = ""
        if record.step:
            self._save(state, record)
        if self.store is not None:
            self.store.wait()
            kept = f", which is saved in {self.store.folder}" if record.step else ""
        raise Interrupted(
            signum, f"stopped by {signal.Signals(signum).name} after step {record.step}{kept}"
        )

    def _end_epoch(self, epoch: int, state: TrainState, record: RunRecord) -> TrainState:
        """Evaluation, the controller, log and checkpoint."""
        config = self.config
        train = self._accuracy("Train", self.train_data, self._train_order(epoch), state, record)
        valid = self._accuracy("Validation", self.valid_data, self.valid_order, state, record)
        record.seconds = self._seconds()
        record.end_epoch(train, valid)
        last_loss = record.history.minibatch_losses[-1]
        metric = valid if config.scheduler_on == "valid_acc" else last_loss
        if self.task.controller is not None:
            with jax.enable_x64(True):
                record.plateau = self.task.controller.update(record.plateau, metric)
            state = self._set_learning_rate(state, record.controlled_rate)
        self.reporter.line(
            f"Epoch: {epoch + 1:03d}/{config.epochs:03d} | Train: {train:.2f}% | "
            f"Validation: {valid:.2f}%"
        )
        self.reporter.line(f"Time elapsed: {record.seconds / 60:.2f} min")
        if self.logbook is not None:
            self.logbook.write(record.epoch_event(epoch + 1, self.steps))
            self._flush()
        self._save(state, record)
        return state

    def _train_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Over what the training accuracy is taken."""
        if not self.config.evaluate_as_trained:
            return self.train_order
        # The loader shuffles anew and drops its ragged tail when it is evaluated, too.
        key = jax.random.fold_in(self.shuffle_key, epoch)
        permutation = epoch_permutation(key, epoch, len(self.task.train.labels))
        order = np.asarray(epoch_order(permutation, self.config.batch_size))
        return order, np.ones(order.shape, dtype=bool)

    def _accuracy(
        self,
        title: str,
        examples: Examples,
        order: tuple[np.ndarray, np.ndarray],
        state: TrainState,
        record: RunRecord,
    ) -> float:
        """Accuracy (%) over examples in an order; the run may be stopped meanwhile."""
        totals = self.engine.replicate(zero_totals())
        with (
            closing(examples.plan(*order)) as plans,
            self.reporter.bar(title, len(order[0]), self.config.eval_batch_size) as bar,
        ):
            for number, plan in enumerate(plans):
                self._look_around(number)
                self._stop_if_asked(state, record)
                before = totals
                totals = self.valid_step(state.variables, plan, totals, self.eval_key)
                jax.block_until_ready(before)
                bar.advance()
        totals = self.engine.unreplicate(totals)
        return 100.0 * int(totals.correct) / int(totals.count)

    def _set_learning_rate(self, state: TrainState, learning_rate: float) -> TrainState:
        rate = self.engine.replicate(np.float32(learning_rate))
        return state.replace(  # type: ignore[attr-defined]
            opt_state=set_learning_rate(state.opt_state, rate)
        )


def _factors(schedule: Schedule | None, steps: int) -> np.ndarray | None:
    """What the schedule multiplies the learning rate by in each step of a run, for the log."""
    return None if schedule is None else np.asarray(schedule(np.arange(steps)), np.float64)


@jax.jit
def _is_finite(tree: Any) -> Array:
    """Whether every number in a tree is finite."""
    finite = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.all(jnp.stack(finite))
