"""When a run's state is saved, and how it is found again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..training import Engine, ReduceLROnPlateau, TrainState
from . import processes
from .checkpoint_reader import CheckpointError
from .clock import Stopwatch
from .console import Reporter
from .folder import RunFolder
from .identity import Identity, IdentityError, changed_versions, check_identity, versions
from .record import RunRecord
from .sinks import Sink


class NonFiniteLossError(ArithmeticError):
    """The loss or a parameter became NaN or infinite; the message names the step."""


class Saver:
    """Saves the state of a run into its folder; without a folder it does nothing.

    Attributes:
        folder: the run folder, or None.
        saved_at: the clock (`time.perf_counter`) at the last save, or at the start.
    """

    def __init__(
        self, folder: RunFolder | None, engine: Engine, identity: Identity, sinks: Sink
    ) -> None:
        """Name what every checkpoint has in common.

        Args:
            folder: the run folder, entered and begun; None saves nothing.
            engine: the devices.
            identity: what must be the same when the run is resumed.
            sinks: flushed before each save, so that the log never lags behind a checkpoint.
        """
        self.folder, self.saved_at = folder, time.perf_counter()
        self._engine, self._identity, self._sinks = engine, identity, sinks
        self._saved_step: int | None = None

    @property
    def kept(self) -> str:
        """Where checkpoints are, for the end of a message."""
        where = "" if self.folder is None else f"{self.folder.checkpoints.folder}"
        return where and f". Checkpoints up to then are in {where}"

    def restore(
        self,
        fresh: TrainState,
        controller: ReduceLROnPlateau | None,
        *,
        epochs: int,
        steps_per_epoch: int,
        reporter: Reporter,
    ) -> tuple[TrainState, RunRecord] | None:
        """Read the newest whole checkpoint of the run that is resumed; None if there is none.

        Damaged newer ones are moved to `damaged/` in the run folder, with a warning.

        Args:
            fresh: the initial state.
            controller: of the run, if it has one.
            epochs: of the run.
            steps_per_epoch: of the run.
            reporter: prints what was found.

        Raises:
            CheckpointError: if none is whole, or it cannot be resumed from.
            IdentityError: if it belongs to another run.
        """
        if self.folder is None or not self.folder.resume:
            return None
        store = self.folder.checkpoints
        step, damages = store.newest_whole()
        # Before the first process moves anything, all have seen the same.
        processes.wait_for_all("checkpoints read")
        if step is None:
            reporter.line(f"No checkpoint in {store.folder} yet: starting anew")
            return None
        origin = store.folder / str(step)
        saved = store.read_progress(step)
        identity, saved_with = saved.get("identity"), saved.get("versions")
        if not (isinstance(identity, dict) and isinstance(saved_with, dict)):
            raise CheckpointError(f"cannot resume from {origin}: it is not of a run")
        try:
            check_identity(identity, self._identity, origin)
            record = RunRecord.from_json(saved, controller, steps_per_epoch)
        except IdentityError:
            raise
        except ValueError as error:
            raise CheckpointError(f"cannot resume from {origin}: {error}") from error
        if record.step > epochs * steps_per_epoch:
            raise CheckpointError(
                f"`epochs` (={epochs}) must be at least {-(-record.step // steps_per_epoch)}, the "
                f"epoch that {origin} is of"
            )
        state = store.read_state(step, self._engine.abstract(fresh))
        if not record.step == step == int(state.step):
            raise CheckpointError(f"cannot resume from {origin}: it is of step {record.step}")
        self._set_aside(damages, reporter)
        changes = changed_versions(saved_with)
        if changes:
            reporter.line(f"Warning: numbers may differ from before, {changes}")
        reporter.line(f"Resuming after step {step}")
        self._saved_step = step
        return state, record

    def _set_aside(self, damages: Mapping[int, str], reporter: Reporter) -> None:
        """Let the first process move damaged checkpoints out of the way."""
        if self.folder is None or not damages:
            return
        if processes.is_first():
            with self.folder.disk_errors_explained():
                for step, damage in damages.items():
                    place = self.folder.checkpoints.set_aside(step)
                    reporter.line(
                        f"Warning: checkpoint {step} is damaged ({damage}); moved to {place}"
                    )
        processes.wait_for_all("damaged checkpoints")
        self.folder.checkpoints.reload()

    def save(self, state: TrainState, record: RunRecord, watch: Stopwatch) -> None:
        """Save, unless this step is saved already: evaluated or not, its state is the same.

        A checkpoint from before an evaluation, which only a stopped run has, therefore stays when
        the evaluation is done; resuming from it repeats the evaluation.

        Args:
            state: on the devices.
            record: of the run; its seconds and their parts are set.
            watch: of the run; the time counts for its checkpoints.

        Raises:
            NonFiniteLossError: if a number in the state is not finite.
            CheckpointError: if the save, or the one before, fails.
        """
        if self.folder is None or self._saved_step == record.step:
            return
        with watch.part("checkpoints"):
            self._save(self.folder, state, record, watch)

    def _save(
        self, folder: RunFolder, state: TrainState, record: RunRecord, watch: Stopwatch
    ) -> None:
        """Save into the folder; see `save`."""
        if not bool(_is_finite(self._engine.unreplicate(state))):
            raise NonFiniteLossError(
                f"a parameter is not finite after {record.place(record.step)} at learning rate "
                f"{record.learning_rates[-1]:g}; try a lower learning rate{self.kept}"
            )
        record.seconds, record.parts = watch.seconds, watch.parts
        with self.disk_errors_explained():
            self._sinks.flush()
        progress: dict[str, Any] = {
            "identity": self._identity.values,
            "versions": versions(),
            **record.to_json(),
        }
        folder.checkpoints.save(self._engine.to_global(state), progress, best_step=record.best_step)
        self._saved_step, self.saved_at = record.step, time.perf_counter()

    def disk_errors_explained(self) -> AbstractContextManager[None]:
        """Return a context that turns errors of the disk into one line."""
        return nullcontext() if self.folder is None else self.folder.disk_errors_explained()

    def wait(self) -> None:
        """Return when all saves are on the disk."""
        if self.folder is not None:
            self.folder.checkpoints.wait()


@jax.jit
def _is_finite(tree: Any) -> Array:
    """Return whether every number in a tree is finite."""
    finite = [
        jnp.isfinite(leaf).all()
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.all(jnp.stack(finite))
