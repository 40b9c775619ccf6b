"""How a run stops when it is asked to: by SIGTERM from a scheduler, or SIGINT from the keyboard."""

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
        exit_code: the exit code for the process, 128 + `signum`: 143 or 130.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum


class StopRequest:
    """A context that notes when the process is asked to stop.

    The first SIGTERM or SIGINT is only noted. From then on the handlers from before are back, so
    that a second SIGINT usually raises `KeyboardInterrupt`, as a notebook needs it. Leaving the
    context restores them, too. Python handles signals in the main thread only; in another thread
    nothing is noted.

    Attributes:
        signals: the signals that are noted.
        signum: the signal that came, or None.
    """

    signals = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, *, second_kills: bool = False) -> None:
        """Say what a second signal does.

        Args:
            second_kills: it ends the process at once, as the operating system does by default.
        """
        self.signum: int | None = None
        self._second_kills = second_kills
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.signum = None
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
        self._restore()
        self._before.clear()

    def _restore(self) -> None:
        """Install the handlers from before."""
        for number, handler in self._before.items():
            # None stands for a handler that Python did not install, and cannot.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Handle the first signal."""
        del frame
        self.signum = signum
        if self._second_kills:
            for number in self.signals:
                signal.signal(number, signal.SIG_DFL)
        else:
            self._restore()
        # `print` could be interrupted by this very handler in the middle of its buffer.
        os.write(2, f"{signal.Signals(signum).name}: stopping after this step\n".encode())
