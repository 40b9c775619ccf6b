"""Stopping when asked to: SIGTERM from a scheduler, SIGINT from the keyboard."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop, and has saved what it had done.

    Attributes:
        signum: the signal, `signal.SIGTERM` or `signal.SIGINT`.
        exit_code: what the process should end with, 128 + `signum`: 143 or 130.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum


class StopRequest:
    """Notes that the process was asked to stop, while its context lasts.

    The first SIGTERM or SIGINT is noted and no more; from then on either of them ends the process
    at once, by the operating system's own rule. The handlers from before come back at the end.
    Python lets the main thread alone handle signals: elsewhere nothing is noted.

    Attributes:
        signals: those that are noted.
        signum: the signal that came, or None.
    """

    signals = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that Python did not install, and cannot.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self.signum = signum
        for number in self.signals:
            signal.signal(number, signal.SIG_DFL)
        # Not print, whose buffer this may have come in the middle of.
        os.write(2, f"{signal.Signals(signum).name}: stopping after this step\n".encode())
