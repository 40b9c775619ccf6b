"""Orbax without its second account of an error that is told in one line already."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_users = 0
_before: Any = None


@contextmanager
def quiet_orbax() -> Iterator[None]:
    """Hide the tracebacks that Orbax logs, and the writes of a failed save that nobody awaits.

    The hooks are the process's own: the first thread to enter installs them, and the last one to
    leave puts back what was there before.
    """
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            logging.getLogger("absl").addFilter(_is_not_from_orbax)
            _before, sys.unraisablehook = sys.unraisablehook, _hook
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                logging.getLogger("absl").removeFilter(_is_not_from_orbax)
                sys.unraisablehook = _before


def _hook(unraisable: Any) -> None:
    # TensorStore ends the writes of a failed save when nobody waits for them any more.
    if "Event loop is closed" not in str(unraisable.exc_value):
        _before(unraisable)


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname
