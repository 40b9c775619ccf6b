"""The training loop: epochs of steps, evaluation, the learning rate, log and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from rich.console import Console

from ..training import Engine, TrainState, get_learning_rate, set_learning_rate, zero_totals
from . import processes
from .clock import StepTimer, Stopwatch
from .config import FitConfig
from .console import ProgressLines, Reporter
from .examples import Examples
from .folder import RunFolder
from .identity import Identity
from .interruption import StopRequest
from .migrations import shortest
from .plan import Order, Plan, TrainStep, make_plan
from .record import RunRecord
from .saver import NonFiniteLossError, Saver
from .sinks import JsonLines, RunStart, Sink, SinkGroup
from .task import FitResult, Task
from .watch import Watch


def fit(
    task: Task,
    config: FitConfig,
    *,
    folder: RunFolder | None = None,
    sinks: Sequence[Sink] | SinkGroup = (),
    identity: Identity | None = None,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> FitResult:
    """Train a model, and evaluate it after every epoch.

    A run that is resumed, from any step, ends with the same numbers to the bit as one that was
    not stopped, on the same devices and with the same versions of the libraries.

    SIGTERM and SIGINT are noted while it runs (in the main thread only): the step is finished and
    saved, and `Interrupted` is raised. During an evaluation the state before it is saved; the
    evaluation is repeated when the run is resumed. A second signal does what it did before `fit`:
    SIGINT raises `KeyboardInterrupt` at once, without a save, unless `stop` says otherwise.

    Args:
        task: what is trained on what.
        config: how to train.
        folder: gets log and checkpoints, or holds the run to resume; None writes nothing.
        sinks: further places for the numbers of the first process. Those of a list are finished
            at the end; a `SinkGroup` is left open for its owner, who may log a test's result.
        identity: values that must be the same when a run is resumed, besides the data, the
            shapes of the state and what in `config` changes the numbers.
        reporter: what prints; None prints to standard output.
        stop: notes the signals; None takes `StopRequest()`.

    Raises:
        ValueError: before anything is written, if the batch does not fit the data or devices, or a
            label, the variables to start from or the optimizer do not fit the model or this loop.
        IdentityError: if the run to resume is another one.
        CheckpointError: if no checkpoint can be resumed from, or one cannot be saved.
        RunFolderError: if the folder is in use, is not empty, holds no run to resume, or cannot
            be written to.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        Interrupted: if a signal asked to stop.
        TypeError: if `config` is no `FitConfig`, or `folder` is a path and no `RunFolder`.
    """
    for name, value, kind in (("config", config, FitConfig), ("folder", folder, RunFolder)):
        if not isinstance(value, kind) and value is not None:
            raise TypeError(f"`{name}` (={value!r}) must be a {kind.__name__}")
    reporter = (reporter or Reporter()) if processes.is_first() else Reporter(Console(quiet=True))
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder)
        engine = Engine.create(config.parallel)
        plan = make_plan(task, config, engine, identity or Identity())
        if folder is not None:
            folder.begin()
            processes.wait_for_all("run folder")
            stack.enter_context(folder.checkpoints)
        if not isinstance(sinks, SinkGroup):
            sinks = stack.enter_context(SinkGroup(sinks))
        log = [] if folder is None else [JsonLines(folder.log_path)]
        lines = ProgressLines(reporter, config, plan.steps)
        group = SinkGroup([*log, *sinks.sinks, lines] if processes.is_first() else ())
        saver = Saver(folder, engine, plan.identity, group)
        watch = Watch(stack.enter_context(stop or StopRequest()), saver, config)
        return _Loop(plan, saver, group, reporter, watch).run()


@dataclass
class _Loop:
    """One call of `fit`: the epochs, over what does the work."""

    plan: Plan
    saver: Saver
    sinks: Sink
    reporter: Reporter
    watch: Watch
    compiled: TrainStep | None = None

    def run(self) -> FitResult:
        """Train the epochs that are still to do."""
        plan = self.plan
        state, record = self._start()
        self.clock, self.timer = Stopwatch(record.seconds, record.parts), StepTimer()
        state = plan.engine.replicate(state)
        for epoch in range(record.epoch, plan.config.epochs):
            state = self._train(epoch, state, record)
            train = self._train_accuracy(epoch, state, record)
            with self.clock.part("valid_evaluation"):
                order = plan.valid_order()
                valid = self._accuracy("Validation", plan.valid_data, order, state, record)
            record.seconds = self.clock.seconds
            phase = plan.phase(epoch)
            side = None if phase is None else phase.side
            self._write(record.add_epoch(train, valid, side, parts=self.clock.lap()))
            state = self._control(state, record)
            self._flush()
            self.saver.save(state, record, self.clock)
        self.reporter.line(f"Total Training Time: {record.seconds / 60:.2f} min")
        return FitResult(
            history=record.history,
            state=plan.engine.unreplicate(state),
            learning_rates=record.epoch_learning_rates,
            best_epoch=record.best_epoch,
            best_step=record.best_step,
            seconds=record.seconds,
            images_per_second=self.timer.rate(plan.config.batch_size),
            image_sizes=record.image_sizes,
            epoch_parts=record.epoch_parts,
        )

    def _start(self) -> tuple[TrainState, RunRecord]:
        """Return what to begin with: a new state, or that of the newest whole checkpoint."""
        plan, folder, controller = self.plan, self.saver.folder, self.plan.task.controller
        restored = self.saver.restore(
            plan.fresh,
            controller,
            epochs=plan.config.epochs,
            steps_per_epoch=plan.steps,
            reporter=self.reporter,
        )
        if restored is None:
            rate = get_learning_rate(plan.fresh.opt_state)
            plateau = None if controller is None else controller.init(float(rate))
            restored = plan.fresh, RunRecord(plan.steps, plateau)
        _, record = restored
        if processes.is_first():
            if folder is not None and record.step:
                folder.confirm()
            with self.saver.disk_errors_explained():
                named = ("run", "0") if folder is None else (folder.name, folder.run_id)
                config = {} if folder is None else folder.config
                self.sinks.begin(RunStart(*named, config, record.step, tuple(record.events())))
        return restored

    def _train(self, epoch: int, state: TrainState, record: RunRecord) -> TrainState:
        """Do the steps of an epoch that are still to do."""
        plan, done = self.plan, record.step - epoch * self.plan.steps
        step = plan.train_step(epoch)
        title = f"Epoch {epoch + 1:03d}/{plan.config.epochs:03d}"
        pending: dict[str, Array] | None = None
        with (
            closing(plan.train_batches(epoch, done)) as batches,
            self.reporter.bar(title, plan.steps - done, plan.config.batch_size) as bar,
        ):
            ready = self.clock.waits("data", batches)
            for batch, examples in zip(range(done, plan.steps), ready, strict=True):
                if self.watch.poll(batch):
                    break
                with (
                    self.clock.part("steps"),
                    self.timer.step(compiles=step is not self.compiled),
                ):
                    self.compiled = step
                    state, metrics = step(state, examples, plan.step_key)
                    # The step before is read while this one runs, so that no device waits.
                    if pending is not None:
                        self._record(pending, record)
                pending = metrics
                bar.advance()
                if batch + 1 < plan.steps and self.watch.is_due(epoch * plan.steps + batch + 1):
                    with self.clock.part("steps"), self.timer.more():
                        self._record(pending, record)
                    pending = None
                    self.saver.save(state, record, self.clock)
            if pending is not None:
                with self.clock.part("steps"), self.timer.more():
                    self._record(pending, record)
        self.watch.stop_if_asked(state, record, self.clock)
        return state

    def _record(self, metrics: dict[str, Array], record: RunRecord) -> None:
        """Record the loss of the next step, and the learning rate that it used."""
        values = jax.device_get(metrics)
        loss, rate = float(values["loss"]), shortest(values["learning_rate"])
        if not math.isfinite(loss):
            self._flush()
            raise NonFiniteLossError(
                f"the loss of {record.place(record.step + 1)} is {loss} at learning rate {rate:g}; "
                f"try a lower learning rate{self.saver.kept}"
            )
        self._write(record.add_step(loss, rate, int(values.get("correct", 0))))
        if (record.step - 1) % self.plan.steps % self.plan.config.log_every == 0:
            self._flush()

    def _train_accuracy(self, epoch: int, state: TrainState, record: RunRecord) -> float | None:
        """Return the training accuracy (%) of an epoch; None if the run takes none."""
        plan = self.plan
        if plan.config.train_accuracy == "full":
            with self.clock.part("train_evaluation"):
                order = plan.train_order(epoch)
                return self._accuracy("Train", plan.train_data, order, state, record)
        if plan.config.train_accuracy == "running":
            return 100.0 * record.running_correct / (plan.steps * plan.config.batch_size)
        return None

    def _accuracy(
        self, title: str, examples: Examples, order: Order, state: TrainState, record: RunRecord
    ) -> float:
        """Return the accuracy (%) over examples in an order, unless the run is to stop."""
        plan = self.plan
        totals = plan.engine.replicate(zero_totals())
        with (
            closing(examples.plan(*order)) as batches,
            self.reporter.bar(title, len(order[0]), plan.config.eval_batch_size) as bar,
        ):
            for number, batch in enumerate(batches):
                self.watch.poll(number)
                self.watch.stop_if_asked(state, record, self.clock)
                before = totals
                totals = plan.eval_step(state.variables, batch, totals, plan.eval_key)
                jax.block_until_ready(before)
                bar.advance()
        totals = plan.engine.unreplicate(totals)
        return 100.0 * int(totals.correct) / int(totals.count)

    def _control(self, state: TrainState, record: RunRecord) -> TrainState:
        """Let the controller set the learning rate of the next epoch."""
        controller, history = self.plan.task.controller, record.history
        if controller is None or record.plateau is None:
            return state
        on_accuracy = self.plan.config.scheduler_on == "valid_acc"
        metric = history.valid_accuracy[-1] if on_accuracy else history.minibatch_losses[-1]
        record.plateau = controller.update(record.plateau, metric)
        rate = self.plan.engine.replicate(np.float32(record.plateau.learning_rate))
        return state.replace(  # type: ignore[attr-defined]
            opt_state=set_learning_rate(state.opt_state, rate)
        )

    def _write(self, event: dict[str, Any]) -> None:
        with self.saver.disk_errors_explained():
            self.sinks.log(event)

    def _flush(self) -> None:
        with self.saver.disk_errors_explained():
            self.sinks.flush()
