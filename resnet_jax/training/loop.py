"""The training loop: epochs of steps, evaluation, the scheduler, log and checkpoints.

It alone in this package writes files and prints; what it calls is pure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax
from flax import linen as nn
from jax import Array

from ..data import Arrays, epoch_permutation
from .batches import Epoch, EvalPlan, epoch_order, eval_order
from .checkpoint import CheckpointError, CheckpointStore
from .logbook import Logbook
from .optimizer import get_learning_rate, set_learning_rate
from .parallel import Engine, Parallel
from .plateau import PlateauState, ReduceLROnPlateau
from .progress import Reporter
from .state import TrainState, create_state
from .steps import Prepare, make_eval_step, make_train_step, zero_totals


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message names the step."""


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
        log_every: steps between two printed lines.
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
    log_every: int = 100
    parallel: Parallel = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` (={self.seed}) must be in [0, 2**32)")
        if self.scheduler_on not in ("valid_acc", "minibatch_loss"):
            raise ValueError(
                f"`scheduler_on` (={self.scheduler_on!r}) must be 'valid_acc' or 'minibatch_loss'"
            )
        if self.parallel not in ("auto", "jit", "pmap"):
            raise ValueError(f"`parallel` (={self.parallel!r}) must be 'auto', 'jit' or 'pmap'")


class History(NamedTuple):
    """What a run recorded.

    Attributes:
        minibatch_losses: one a step, in nats.
        train_accuracy: one an epoch, in %.
        valid_accuracy: one an epoch, in %.
    """

    minibatch_losses: list[float]
    train_accuracy: list[float]
    valid_accuracy: list[float]


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` returns.

    Attributes:
        history: losses and accuracies.
        state: after the last step.
        learning_rates: in force during each epoch.
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
        tx: an optimizer of ``make_optimizer``.
        controller: of the learning rate.
        train: images to train on.
        valid: images to validate on.
        prepare: transforms a training batch on the device.
        prepare_valid: transforms a batch of the training or validation accuracy.
    """

    model: nn.Module
    tx: optax.GradientTransformation
    controller: ReduceLROnPlateau
    train: Arrays
    valid: Arrays
    prepare: Prepare
    prepare_valid: Prepare


@dataclass
class _Progress:
    """What a checkpoint holds besides the state."""

    plateau: PlateauState
    history: History = field(default_factory=lambda: History([], [], []))
    learning_rates: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_step: int = 0
    seconds: float = 0.0

    def to_json(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        plateau = {name: leaf.item() for name, leaf in vars(self.plateau).items()}
        if not math.isfinite(plateau["best"]):
            plateau["best"] = None
        return {
            "identity": dict(identity),
            "plateau": plateau,
            "history": self.history._asdict(),
            "learning_rates": list(self.learning_rates),
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], controller: ReduceLROnPlateau) -> _Progress:
        saved = record["plateau"]
        with jax.enable_x64(True):
            plateau = controller.init(saved["learning_rate"])
            fields = {
                name: np.asarray(value, dtype=getattr(plateau, name).dtype)
                for name, value in saved.items()
                if value is not None
            }
        return cls(
            plateau=plateau.replace(**fields),  # type: ignore[attr-defined]
            history=History(**record["history"]),
            learning_rates=list(record["learning_rates"]),
            best_epoch=record["best_epoch"],
            best_step=record["best_step"],
            seconds=record["seconds"],
        )


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


def check_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], checkpoint: Path) -> None:
    """Raises unless a checkpoint belongs to the run that wants to resume from it.

    Args:
        saved: the identity that the checkpoint holds.
        wanted: the identity of the run.
        checkpoint: for the message.

    Raises:
        CheckpointError: naming every value that differs.
    """
    names = sorted(saved.keys() | wanted.keys())
    differences = [
        f"`{name}` was {saved.get(name)!r} and is now {wanted.get(name)!r}"
        for name in names
        if saved.get(name) != wanted.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"cannot resume from {checkpoint}: {'; '.join(differences)}. Give the same values, or "
            "start a new run in another run folder"
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

    Args:
        task: what is trained on what.
        config: how to train.
        run_dir: gets ``metrics.jsonl`` and ``checkpoints/``; None writes nothing.
        resume: go on from the newest checkpoint in ``run_dir``.
        identity: JSON values that must be the same when a run is resumed.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: before anything is written, if the batch does not fit the data or devices.
        CheckpointError: if there is nothing to resume from, or it belongs to another run.
        NonFiniteLossError: if the loss becomes NaN or infinite.
    """
    engine = Engine.create(config.parallel)
    engine.check_batch_size(config.batch_size)
    steps_per_epoch(len(task.train.labels), config.batch_size)
    if run_dir is None:
        return _Run(task, config, engine, None, None, identity or {}, reporter or Reporter()).run(
            resume=False
        )
    run_dir.mkdir(parents=True, exist_ok=True)
    with CheckpointStore(run_dir / "checkpoints") as store:
        logbook = Logbook(run_dir / "metrics.jsonl")
        run = _Run(task, config, engine, store, logbook, identity or {}, reporter or Reporter())
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
    ) -> None:
        self.task, self.config, self.engine = task, config, engine
        self.store, self.logbook, self.reporter = store, logbook, reporter
        self.identity = identity
        self.steps = steps_per_epoch(len(task.train.labels), config.batch_size)
        # Independent streams, whatever is added later.
        root = jax.random.key(config.seed)
        self.init_key, self.shuffle_key, step_key, eval_key = (
            jax.random.fold_in(root, stream) for stream in range(4)
        )
        self.step_key, self.eval_key = engine.share(step_key), engine.share(eval_key)

        self.train_step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare)
        self.valid_step = make_eval_step(task.model, engine=engine, prepare=task.prepare_valid)
        self.train_images = engine.replicate((task.train.images, task.train.labels))
        self.train_plan = self._plan(*self.train_images)
        self.valid_plan = self._plan(*engine.replicate((task.valid.images, task.valid.labels)))
        self.training_seconds = 0.0
        self.timed_steps = 0

    def _plan(self, images: Any, labels: Any) -> EvalPlan:
        """Every image once; ``images`` and ``labels`` are on the devices already."""
        count = labels.shape[-1]
        order, valid = eval_order(
            count, self.config.eval_batch_size, num_devices=self.engine.num_devices
        )
        return EvalPlan(images, labels, self.engine.put(order, 1), self.engine.put(valid, 1))

    def run(self, *, resume: bool) -> FitResult:
        config, reporter = self.config, self.reporter
        shape = (1, *self.task.train.images.shape[1:])
        state, progress = self._start(shape, resume=resume)
        first_step = int(state.step)
        state = self.engine.replicate(state)
        for epoch in range(first_step // self.steps, config.epochs):
            state = self._epoch(epoch, state, progress)
        reporter.line(f"Total Training Time: {progress.seconds / 60:.2f} min")
        rate = None
        if self.timed_steps:
            rate = self.timed_steps * config.batch_size / self.training_seconds
        return FitResult(
            history=progress.history,
            state=self.engine.unreplicate(state),
            learning_rates=progress.learning_rates,
            best_epoch=progress.best_epoch,
            best_step=progress.best_step,
            seconds=progress.seconds,
            images_per_second=rate,
        )

    def _start(self, shape: tuple[int, ...], *, resume: bool) -> tuple[TrainState, _Progress]:
        """The state to begin with: a new one, or the newest checkpoint's."""
        task = self.task
        fresh = create_state(task.model, task.tx, self.init_key, shape)
        if not resume:
            rate = float(get_learning_rate(fresh.opt_state))
            with jax.enable_x64(True):
                return fresh, _Progress(task.controller.init(rate))
        assert self.store is not None
        assert self.logbook is not None
        step = self.store.latest_step
        if step is None:
            raise CheckpointError(f"there is no checkpoint to resume from in {self.store.folder}")
        record = self.store.read_progress(step)
        check_identity(record["identity"], self.identity, self.store.folder / str(step))
        state = self.store.read_state(step, fresh)
        self.logbook.cut(step)
        self.reporter.line(f"Resuming after step {step}")
        return state, _Progress.from_json(record, task.controller)

    def _epoch(self, epoch: int, state: TrainState, progress: _Progress) -> TrainState:
        config = self.config
        start = time.perf_counter()
        before = progress.seconds
        learning_rate = float(progress.plateau.learning_rate)
        done = len(progress.history.minibatch_losses) - epoch * self.steps
        state = self._train(epoch, done, state, progress, learning_rate)

        train = self._accuracy("Train", self.valid_step, state, self._train_plan(epoch))
        valid = self._accuracy("Validation", self.valid_step, state, self.valid_plan)
        history = progress.history
        history.train_accuracy.append(train)
        history.valid_accuracy.append(valid)
        progress.learning_rates.append(learning_rate)
        if valid > max(history.valid_accuracy[:-1], default=-math.inf):
            progress.best_epoch, progress.best_step = epoch + 1, (epoch + 1) * self.steps
        metric = valid if config.scheduler_on == "valid_acc" else history.minibatch_losses[-1]
        with jax.enable_x64(True):
            progress.plateau = self.task.controller.update(progress.plateau, metric)
        state = self._set_learning_rate(state, float(progress.plateau.learning_rate))
        progress.seconds = before + time.perf_counter() - start

        self.reporter.line(
            f"Epoch: {epoch + 1:03d}/{config.epochs:03d} | Train: {train:.2f}% | "
            f"Validation: {valid:.2f}%"
        )
        self.reporter.line(f"Time elapsed: {progress.seconds / 60:.2f} min")
        step = (epoch + 1) * self.steps
        if self.logbook is not None and self.store is not None:
            self.logbook.write(
                "epoch",
                step,
                epoch=epoch + 1,
                train_accuracy=train,
                valid_accuracy=valid,
                learning_rate=learning_rate,
                seconds=progress.seconds,
            )
            self.logbook.flush()
            self.store.save(
                self.engine.unreplicate(state),
                progress.to_json(self.identity),
                valid_accuracy=valid,
            )
        return state

    def _train(
        self,
        epoch: int,
        done: int,
        state: TrainState,
        progress: _Progress,
        learning_rate: float,
    ) -> TrainState:
        """The steps of an epoch that are still to do."""
        config = self.config
        permutation = epoch_permutation(self.shuffle_key, epoch, len(self.task.train.labels))
        images, labels = self.train_images
        order = epoch_order(permutation, config.batch_size)
        batches = Epoch(images, labels, self.engine.put(order, 1))
        title = f"Epoch {epoch + 1:03d}/{config.epochs:03d}"
        pending: tuple[int, Array] | None = None
        with self.reporter.bar(title, self.steps - done, config.batch_size) as bar:
            for batch in range(done, self.steps):
                start = time.perf_counter()
                state, metrics = self.train_step(state, batches, self.step_key)
                # The step before is read while this one runs, so that the device never waits.
                if pending is not None:
                    self._record(epoch, *pending, progress, learning_rate)
                pending = (batch, metrics["loss"])
                if batch > done or epoch > 0:
                    self.training_seconds += time.perf_counter() - start
                    self.timed_steps += 1
                bar.advance()
            start = time.perf_counter()
            if pending is not None:
                self._record(epoch, *pending, progress, learning_rate)
            self.training_seconds += time.perf_counter() - start
        return state

    def _record(
        self, epoch: int, batch: int, loss: Array, progress: _Progress, learning_rate: float
    ) -> None:
        value = float(loss)
        step = epoch * self.steps + batch + 1
        if not math.isfinite(value):
            kept = (
                "" if self.store is None else f" Checkpoints up to then are in {self.store.folder}."
            )
            raise NonFiniteLossError(
                f"the loss of step {step} (epoch {epoch + 1}, batch {batch + 1} of {self.steps}) "
                f"is {value} at learning rate {learning_rate:g}; a lower one would do.{kept}"
            )
        progress.history.minibatch_losses.append(value)
        if self.logbook is not None:
            self.logbook.write(
                "step", step, epoch=epoch + 1, loss=value, learning_rate=learning_rate
            )
        if batch % self.config.log_every == 0:
            if self.logbook is not None:
                self.logbook.flush()
            self.reporter.line(
                f"Epoch: {epoch + 1:03d}/{self.config.epochs:03d} | "
                f"Batch {batch:04d}/{self.steps:04d} | Loss: {value:.4f}"
            )

    def _train_plan(self, epoch: int) -> EvalPlan:
        """Over what the training accuracy is taken."""
        if not self.config.evaluate_as_trained:
            return self.train_plan
        # The loader shuffles anew and drops its ragged tail when it is evaluated, too.
        key = jax.random.fold_in(self.shuffle_key, epoch)
        permutation = epoch_permutation(key, epoch, len(self.task.train.labels))
        order = epoch_order(permutation, self.config.batch_size)
        images, labels = self.train_images
        return EvalPlan(
            images,
            labels,
            self.engine.put(order, 1),
            self.engine.put(np.ones(order.shape, dtype=bool), 1),
        )

    def _accuracy(self, title: str, step: Any, state: TrainState, plan: EvalPlan) -> float:
        """Accuracy (%) over a plan."""
        totals = self.engine.replicate(zero_totals())
        steps = plan.order.shape[-2]
        with self.reporter.bar(title, steps, self.config.eval_batch_size) as bar:
            for _ in range(steps):
                before, totals = totals, step(state.variables, plan, totals, self.eval_key)
                jax.block_until_ready(before)
                bar.advance()
        correct = int(self.engine.unreplicate(totals).correct)
        return 100.0 * correct / int(np.asarray(plan.valid).sum())

    def _set_learning_rate(self, state: TrainState, learning_rate: float) -> TrainState:
        rate = self.engine.replicate(np.float32(learning_rate))
        return state.replace(  # type: ignore[attr-defined]
            opt_state=set_learning_rate(state.opt_state, rate)
        )
