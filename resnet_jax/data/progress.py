"""Progress of the slow parts of preparing a data set."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from ..storage import printable

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_LINES = 10

LATE_SECONDS = 1.0
"""Work that is over sooner shows no late bar."""


class Advance(Protocol):
    """Reports that so many more units are done."""

    def __call__(self, amount: int, /) -> None:
        """Move the bar by `amount` units."""


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on a terminal's standard error, or one plain line where there is none.

    Args:
        label: what is being done, in any text; nothing in it is markup.
        total: number of units, or None if unknown.

    Yields:
        A function to call with the number of units done since its last call.
    """
    with _bar(label, total, 0, in_bytes=False) as advance:
        yield advance


@contextmanager
def byte_progress(label: str, total: int | None, done: int) -> Iterator[Advance]:
    """Show how many bytes are done and how fast, as `progress_bar` does.

    Where there is no terminal, a line follows at every tenth of the total.

    Args:
        label: what is being done, in any text; nothing in it is markup.
        total: number of bytes, or None if unknown.
        done: number of bytes that are there already.

    Yields:
        A function to call with the number of bytes done since its last call.
    """
    with _bar(label, total, done, in_bytes=True) as advance:
        yield advance


@contextmanager
def late_progress(label: str) -> Iterator[Advance]:
    """Show how many units are done on a terminal's standard error, if it takes over a second.

    For work that is quick as a rule, and of which nobody knows how much there is.

    Args:
        label: what is being done, in any text; nothing in it is markup.

    Yields:
        A function to call with the number of units done since its last call.
    """
    lock, over, done = threading.Lock(), False, 0
    bar: Advance | None = None

    def advance(amount: int, /) -> None:
        nonlocal done
        with lock:
            done += amount
            if bar is not None:
                bar(amount)

    def show() -> None:
        nonlocal bar
        with lock:
            if not over:
                bar = stack.enter_context(progress_bar(label, None))
                bar(done)

    timer = threading.Timer(LATE_SECONDS, show)
    timer.daemon = True
    with ExitStack() as stack:
        if sys.stderr is not None and sys.stderr.isatty():
            timer.start()
        try:
            yield advance
        finally:
            timer.cancel()
            with lock:
                over = True


@contextmanager
def _bar(label: str, total: int | None, done: int, *, in_bytes: bool) -> Iterator[Advance]:
    from rich.console import Console  # slow to import, and most starts show no bar

    console = Console(stderr=True)
    label = printable(label, console.encoding)
    if not console.is_terminal:
        _print(console, label)
        yield _tenths(console, total, done) if in_bytes and total else lambda amount, /: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    if total is not None:
        end: tuple[ProgressColumn, ...] = (
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
        )
    elif in_bytes:
        end = ()
    else:
        end = (TextColumn("{task.completed:,}"),)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *((DownloadColumn(), TransferSpeedColumn()) if in_bytes else ()),
        *end,
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total, completed=done)
        yield lambda amount, /: progress.advance(task, amount)


def _tenths(console: Console, total: int, done: int) -> Advance:
    """Return a function that prints a line whenever another tenth of the total is done."""
    count, shown = done, done * _PLAIN_LINES // total

    def advance(amount: int, /) -> None:
        nonlocal count, shown
        count += amount
        now = count * _PLAIN_LINES // total
        if now > shown:
            shown = now
            _print(console, f"  {count / 1e6:.1f} of {total / 1e6:.1f} MB")

    return advance


def _print(console: Console, line: str) -> None:
    from rich.text import Text

    console.print(Text(line), soft_wrap=True)
