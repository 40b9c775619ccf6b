"""The standard streams of a command: any text can be printed, and nobody has to read it."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from resnet_jax.storage import printable


class ReaderGoneError(BrokenPipeError):
    """Nobody reads a stream any more."""


@contextmanager
def any_text() -> Iterator[None]:
    r"""Let any text be printed while the block runs, whatever the encoding of the terminal.

    What it cannot encode, such as the undecodable bytes of a file's name, is printed with
    backslashes, as in `\u65e5`.
    """
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


@contextmanager
def output_named() -> Iterator[None]:
    """Let an error in writing to standard output say that it is this, while the block runs."""
    stream = sys.stdout
    if stream is None:
        yield
        return
    sys.stdout = cast(TextIO, _Output(stream))
    try:
        yield
    finally:
        sys.stdout = stream


class _Output:
    """A stream that adds its name to its errors, and is otherwise what it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text."""
        with self._named():
            return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, one after the other."""
        with self._named():
            self._stream.writelines(lines)

    def flush(self) -> None:
        """Write out what is buffered."""
        with self._named():
            self._stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Add the name to an error of the body."""
        try:
            yield
        except OSError as error:
            error.filename = error.filename or "standard output"
            raise


def reader_has_gone(stream: TextIO | None) -> bool:
    """Return whether a stream is a pipe that nobody reads any more, as after `| head -1`.

    Args:
        stream: standard output or standard error; None if the process has none.
    """
    try:
        descriptor = -1 if stream is None else stream.fileno()
    except (OSError, ValueError):  # it is in memory, or closed
        return False
    if descriptor < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are reported whatever is asked for
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def finish(stream: TextIO | None) -> None:
    """Write out what a stream has buffered, here, where an error can still be told.

    Args:
        stream: standard output or standard error; None if the process has none.

    Raises:
        ReaderGoneError: if nobody reads it any more.
        OSError: if it cannot be written for another reason, such as a full disk. What is left of
            it is then discarded, for Python would try again at its end.
    """
    if stream is None:
        return
    try:
        stream.flush()
    except OSError as error:
        with suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
            stream.flush()
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError(error.errno, error.strerror) from error
        raise


def tell(message: str) -> None:
    """Print a line on standard error, if anybody reads it.

    Args:
        message: the line.
    """
    with suppress(OSError):
        print(printable(message), file=sys.stderr)
