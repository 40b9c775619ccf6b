"""The one way from a command line to an exit code, for every command."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

import tyro

from resnet_jax.run import Interrupted, NonFiniteLossError, processes
from resnet_jax.storage import one_line

from .choices import registry

Options = TypeVar("Options")


def parse(
    kind: type[Options],
    argv: Sequence[str] | None,
    *,
    description: str | None,
    default: Options | None = None,
) -> Options:
    """Read a command line into options; nested ones have no prefix.

    Choices are not checked here but with everything else that can be wrong, see `check_choices`.

    Args:
        kind: a dataclass of options.
        argv: the arguments; None takes the process's.
        description: the text at the head of the help.
        default: the values of options that are not given; None takes the dataclass's own.

    Raises:
        SystemExit: with code 0 after `--help`, with code 2 for arguments that cannot be read.
    """
    return tyro.cli(
        kind,
        args=None if argv is None else list(argv),
        default=tyro.MISSING_NONPROP if default is None else default,
        description=description,
        config=(tyro.conf.OmitArgPrefixes,),
        registry=registry,
    )


def parse_known(kind: type[Options], argv: Sequence[str] | None) -> Options:
    """Read those arguments that are options of `kind`, and ignore the others and `--help`.

    Args:
        kind: a dataclass of options.
        argv: the arguments; None takes the process's.
    """
    options, _ = tyro.cli(
        kind,
        args=None if argv is None else list(argv),
        return_unknown_args=True,
        add_help=False,
        registry=registry,
    )
    return options


def exit_code(work: Callable[[], int]) -> int:
    """Run a command and say in one line on standard error what its user can mend.

    SIGTERM interrupts the work as SIGINT does, unless the work handles it by itself.

    Args:
        work: reads the command line and does the rest; returns the exit code where nothing goes
            wrong.

    Returns:
        The code of `work`; 2 for what the user can mend; 143 or 130 after SIGTERM or SIGINT. A
        process that has lost another one of its run ends at once, with code 1.
    """
    try:
        with _sigterm_raises():
            return work()
    except processes.ProcessError as error:
        processes.end_at_once(f"error: {error}")
    except (ValueError, OSError, ImportError, NonFiniteLossError) as error:
        print(f"error: {_with_notes(one_line(error), error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(_with_notes(str(stop) or "stopped by SIGINT", stop), file=sys.stderr)
        return stop.exit_code if isinstance(stop, Interrupted) else 128 + signal.SIGINT


def _with_notes(message: str, error: BaseException) -> str:
    """Return the message, followed by the notes that were added to the error."""
    return "; ".join((message, *getattr(error, "__notes__", ())))


@contextmanager
def advise_when_stopped(advice: str, *, when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Add to the message of a command that was stopped how to go on.

    Args:
        advice: what `exit_code` prints after the message.
        when: says, once it was stopped, whether the advice applies.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if when():
            stop.add_note(advice)
        raise


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM interrupt as SIGINT does; only the main thread can handle signals."""

    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(signum, "stopped by SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
