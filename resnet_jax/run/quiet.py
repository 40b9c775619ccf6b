"""Orbax without its second account of an error that is told in one line already."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_users = 0
_installed: _Hook | None = None


@contextmanager
def quiet_orbax() -> Iterator[None]:
    """Hide the tracebacks that Orbax logs, and the writes of a failed save that nobody awaits.

    The hooks are the process's own: the first thread to enter installs them, and the last one to
    leave puts back what was there before. A hook that was put over ours meanwhile stays.
    """
    global _users, _installed
    with _lock:
        _users += 1
        if _users == 1:
            logging.getLogger("absl").addFilter(_is_not_from_orbax)
            _installed = _Hook(sys.unraisablehook)
            sys.unraisablehook = _installed
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _installed is not None:
                logging.getLogger("absl").removeFilter(_is_not_from_orbax)
                _installed.remove()
                _installed = None


class _Hook:
    """Passes on all but one kind of what `sys.unraisablehook` gets, until it is removed."""

    def __init__(self, before: Callable[[Any], object]) -> None:
        self._before, self._active = before, True

    def __call__(self, unraisable: Any) -> None:
        # TensorStore ends the writes of a failed save when nobody waits for them any more.
        if not self._active or "Event loop is closed" not in str(unraisable.exc_value):
            self._before(unraisable)

    def remove(self) -> None:
        """Put back the hook from before; under another one, only pass everything on."""
        self._active = False
        if sys.unraisablehook is self:
            sys.unraisablehook = self._before


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname
