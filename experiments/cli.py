"""The one way from a command line to an exit code, for every command."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import tyro

from resnet_jax.run import Interrupted, processes
from resnet_jax.storage import expand_user

from .choices import registry
from .help_text import (
    COMPLETION,
    explain_fields,
    format_description,
    format_epilogue,
    option_names,
    program,
)
from .mistakes import explain
from .option_names import check_names
from .streams import ReaderGoneError, any_text, finish, output_named, reader_has_gone, tell

_SOON = 0.05  # seconds, after which the garbage collector has done
Options = TypeVar("Options")


def parse(
    kind: type[Options],
    argv: Sequence[str] | None,
    *,
    description: str | None,
    default: Options | None = None,
) -> Options:
    """Read a command line into options; nested ones have no prefix.

    A `~` at the beginning of any path becomes the home folder. Choices are not checked here but
    with everything else that can be wrong, see `check_choices`. With `--help` the description
    comes first, then the options by their groups, then how a shell completes them.

    Args:
        kind: a dataclass of options.
        argv: the arguments; None takes the process's.
        description: the text at the head of the help.
        default: the values of options that are not given; None takes the dataclass's own.

    Raises:
        SystemExit: with code 0 after `--help`, with code 2 for arguments that cannot be read.
        ValueError: for an option that there is not, a shell that cannot complete, or a path in the
            home folder of a user who is not known.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = program()
    completes = arguments[:1] == [COMPLETION]
    helps = not {"-h", "--help"}.isdisjoint(arguments)
    explain_fields(kind)
    if not helps and not completes:
        check_names(arguments, {*option_names(kind), "--tyro-write-completion"})
    if helps:
        print(format_description(description or "", min(shutil.get_terminal_size().columns, 100)))
        print()
    try:
        options = tyro.cli(
            kind,
            # A shell completes the options of one word.
            prog=command.rpartition(".")[2] if completes else command,
            args=arguments,
            default=tyro.MISSING_NONPROP if default is None else default,
            description="",
            config=(tyro.conf.OmitArgPrefixes,),
            # Completion has to know the names that options allow.
            registry=None if completes else registry,
        )
    except AssertionError as error:
        if not completes:
            raise
        raise ValueError(f"{COMPLETION} cannot be had: {error}") from error
    except SystemExit as stop:
        if helps and stop.code in (None, 0) and "." in command.rpartition(" ")[2]:
            print(format_epilogue(command))
        raise
    return _in_home(options)


def _in_home(value: Any) -> Any:
    """Return options with the home folder put into each path that begins with `~`.

    A shell leaves the `~` in `--run-dir=~/runs` as it is.

    Raises:
        ValueError: for the home folder of a user who is not known.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: _in_home(getattr(value, name)) for name in fields}
        )
    if isinstance(value, tuple):
        return tuple(map(_in_home, value))
    if isinstance(value, Path):
        return expand_user(value)
    # Text that may be a path or a name.
    return str(expand_user(value)) if isinstance(value, str) and value[:1] == "~" else value


def parse_known(kind: type[Options], argv: Sequence[str] | None) -> Options:
    """Read those arguments that are options of `kind`, and ignore the others.

    `--help` and the completion of a shell are ignored, too.

    Args:
        kind: a dataclass of options.
        argv: the arguments; None takes the process's.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options, _ = tyro.cli(
        kind,
        args=[] if arguments[:1] == [COMPLETION] else arguments,
        return_unknown_args=True,
        add_help=False,
        registry=registry,
    )
    return options


def exit_code(work: Callable[[], int]) -> int:
    """Run a command and say in one line on standard error what its user can mend.

    SIGTERM interrupts the work as SIGINT does, unless the work handles it by itself. While it
    runs, any text can be printed, whatever the terminal encodes.

    Args:
        work: reads the command line and does the rest; returns the exit code where nothing goes
            wrong.

    Returns:
        The code of `work`; 2 for what the user can mend, see `mistakes`; 143 or 130 after SIGTERM
        or SIGINT; 141, without a message, where nobody reads the output any more, as a program
        that SIGPIPE ends. A process that has lost another one of its run ends at once, with code
        1; one that has failed alone does so with code 2, after a few seconds.
    """
    with any_text(), output_named():
        try:
            with _signals_raise():
                code = work()
            finish(sys.stdout)
            return code
        except processes.ProcessError as error:
            processes.end_at_once(f"error: {error}")
        except KeyboardInterrupt as stop:
            tell(_with_notes(str(stop) or "stopped by SIGINT", stop))
            return stop.exit_code if isinstance(stop, Interrupted) else 128 + signal.SIGINT
        except (Exception, SystemExit) as error:
            if _reader_has_gone(error):
                return 128 + signal.SIGPIPE
            message = explain(error)
            if message is None:
                raise
            tell(f"error: {_with_notes(message, error)}")
            processes.leave(2)
            return 2
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    finish(stream)


def _reader_has_gone(error: BaseException | None) -> bool:
    """Return whether an error comes from printing to a pipe that nobody reads any more."""
    cause = error
    while cause is not None and not isinstance(cause, BrokenPipeError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return False
    # Rich ends the process after a broken pipe of its own.
    told = isinstance(cause, ReaderGoneError) or isinstance(error, SystemExit)
    return told or reader_has_gone(sys.stdout)


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
def _signals_raise() -> Iterator[None]:
    """Let SIGINT and SIGTERM interrupt; only the main thread can handle signals.

    Python drops what a handler raises while the garbage collector calls something. Then the signal
    comes once more.
    """
    again: list[threading.Timer] = []
    ignored = sys.unraisablehook

    def note(unraisable: Any) -> None:
        stop = unraisable.exc_value
        if not isinstance(stop, KeyboardInterrupt):
            ignored(unraisable)
            return
        signum = stop.signum if isinstance(stop, Interrupted) else signal.SIGINT
        again.append(threading.Timer(_SOON, signal.raise_signal, (signum,)))
        again[-1].start()

    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(signum, "stopped by SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    # Elsewhere it raises already, or is ignored on purpose.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = ignored
        for timer in again:
            timer.cancel()
        for signum, handler in before.items():
            signal.signal(signum, handler)
