"""Orbax is quiet while a store is open, and nothing else is."""

import logging
import sys
import threading
from types import SimpleNamespace

import pytest

from resnet_jax.run.quiet import quiet_orbax


@pytest.fixture
def hook(monkeypatch):
    """A hook that keeps what it is told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    return told


def unraisable(text):
    return SimpleNamespace(exc_value=RuntimeError(text))


def test_what_is_hidden(hook):
    before = sys.unraisablehook
    other = unraisable("another error")
    with quiet_orbax():
        sys.unraisablehook(unraisable("Event loop is closed"))
        sys.unraisablehook(other)
    assert hook == [other]
    assert sys.unraisablehook is before


def test_the_last_to_leave_puts_back_what_was_there(hook):
    """Also where contexts in two threads overlap without being inside each other."""
    before = sys.unraisablehook
    first, second = quiet_orbax(), threading.Event()
    entered, leave = threading.Event(), threading.Event()

    def other():
        with quiet_orbax():
            entered.set()
            leave.wait(60)
        second.set()

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        assert entered.wait(60)
    assert sys.unraisablehook is not before
    leave.set()
    thread.join()
    assert second.is_set()
    assert sys.unraisablehook is before


def test_an_error_inside_puts_back_what_was_there(hook):
    before = sys.unraisablehook
    with pytest.raises(ValueError, match="x"), quiet_orbax():
        raise ValueError("x")
    assert sys.unraisablehook is before


def test_after_a_failure_late_messages_are_hidden_too(hook):
    """Until a later context ends without one."""
    before = sys.unraisablehook
    late, other = unraisable("Event loop is closed"), unraisable("another error")
    with quiet_orbax() as stay_quiet:
        stay_quiet()
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert hook == [other]
    with quiet_orbax():
        pass
    assert sys.unraisablehook is before
    sys.unraisablehook(late)
    assert hook == [other, late]


def test_tasks_that_nobody_awaits_are_hidden_where_they_are_of_orbax(caplog):
    logger = logging.getLogger("asyncio")
    ours, other = "Task exception was never retrieved in orbax/save.py", "Task was destroyed"
    with quiet_orbax():
        for text in (ours, other):
            logger.error("%s", text)
    assert caplog.messages == [other]


def test_logs_of_orbax_alone_are_hidden():
    logger, seen = logging.getLogger("absl"), []
    keeper = logging.Handler()
    keeper.emit = lambda record: seen.append(record.getMessage())
    logger.addHandler(keeper)

    def log(path):
        logger.handle(logging.LogRecord("absl", logging.ERROR, path, 1, path, (), None))

    try:
        with quiet_orbax():
            log("/lib/orbax/checkpoint/manager.py")
            log("/lib/etils/path.py")
        log("/lib/orbax/checkpoint/after.py")
    finally:
        logger.removeHandler(keeper)
    assert seen == ["/lib/etils/path.py", "/lib/orbax/checkpoint/after.py"]
