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
_failed = False
_installed: _Hook | None = None


@contextmanager
def quiet_orbax() -> Iterator[Callable[[], None]]:
    """Hide the tracebacks that Orbax logs, and the writes of a failed save that nobody awaits.

    The hooks are the process's own: the first thread to enter installs them, and the last one to
    leave puts back what was there before. A hook that was put over ours meanwhile stays.

    After a failure they stay until a later context ends without one, because the threads of Orbax
    and TensorStore go on for a while, and nothing can wait for them.

    Yields:
        A function to call when a save or a read has failed.
    """
    global _users, _failed
    with _lock:
        _users += 1
        if _users == 1:
            _failed = False
            _install()
    try:
        yield _stay
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and not _failed:
                _remove()


def _stay() -> None:
    """Keep the hooks when the last context is left."""
    global _failed
    _failed = True


def _install() -> None:
    """Put our hooks over those of the process, unless they are there."""
    global _installed
    if _installed is not None and sys.unraisablehook is _installed:
        return
    _remove()
    logging.getLogger("absl").addFilter(_is_not_from_orbax)
    logging.getLogger("asyncio").addFilter(_is_not_about_orbax)
    _installed = _Hook(sys.unraisablehook)
    sys.unraisablehook = _installed


def _remove() -> None:
    """Take our hooks away, if they are there."""
    global _installed
    if _installed is not None:
        logging.getLogger("absl").removeFilter(_is_not_from_orbax)
        logging.getLogger("asyncio").removeFilter(_is_not_about_orbax)
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


def _is_not_about_orbax(record: logging.LogRecord) -> bool:
    # The text has the place of the coroutine in Orbax, or the path of what is being saved.
    return "orbax" not in record.getMessage()
