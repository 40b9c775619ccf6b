"""A progress bar for the slow parts of preparing a data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ..storage import printable


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
    from rich.console import Console  # slow to import, and most starts show no bar
    from rich.text import Text

    console = Console(stderr=True)
    label = printable(label, console.encoding)
    if not console.is_terminal:
        console.print(Text(label), soft_wrap=True)
        yield lambda amount, /: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda amount, /: progress.advance(task, amount)
