"""Signals and the clock, which the loop polls between two steps."""

from __future__ import annotations

import signal
import time

import jax

from ..training import TrainState
from . import processes
from .clock import Stopwatch
from .config import FitConfig
from .interruption import Interrupted, StopRequest
from .record import RunRecord
from .saver import Saver

TOGETHER_EVERY = 10
"""Steps after which several processes agree on signals and on the clock."""


class Watch:
    """Polls signals and the clock.

    Attributes:
        signum: the signal that asked to stop, or 0.
    """

    def __init__(self, stop: StopRequest, saver: Saver, config: FitConfig) -> None:
        """Name what is polled.

        Args:
            stop: notes signals.
            saver: knows when the last save was.
            config: how often to save.
        """
        self.signum = 0
        self._stop, self._saver, self._config = stop, saver, config
        self._unsaved_seconds = 0.0

    def poll(self, step: int) -> bool:
        """Return whether to stop; all processes find out at the same step.

        Args:
            step: number of the step in its loop, the same in all processes.
        """
        if jax.process_count() == 1 or step % TOGETHER_EVERY == 0:
            self.signum = int(processes.largest(self._stop.signum or 0))
            unsaved = time.perf_counter() - self._saver.saved_at
            self._unsaved_seconds = processes.largest(unsaved)
        return self.signum > 0

    def stop_if_asked(self, state: TrainState, record: RunRecord, clock: Stopwatch) -> None:
        """Save and raise, if a signal came.

        Args:
            state: on the devices.
            record: of the run; its seconds are set.
            clock: of the run.

        Raises:
            Interrupted: if a signal came; the message says where the state is saved.
        """
        if not self.signum:
            return
        kept = ""
        if record.step:
            self._saver.save(state, record, clock)
        self._saver.wait()
        if record.step and self._saver.folder is not None:
            kept = f", which is saved in {self._saver.folder.checkpoints.folder}"
        name = signal.Signals(self.signum).name
        raise Interrupted(self.signum, f"stopped by {name} after step {record.step}{kept}")

    def is_due(self, step: int) -> bool:
        """Return whether to save after a step inside an epoch.

        Args:
            step: optimizer steps done.
        """
        if self._saver.folder is None:
            return False
        every, minutes = self._config.checkpoint_every, self._config.checkpoint_minutes
        return (every > 0 and step % every == 0) or 0 < 60 * minutes <= self._unsaved_seconds
