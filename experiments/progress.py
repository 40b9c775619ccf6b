"""What a command shows while it works for seconds: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from resnet_jax.storage import printable


@contextmanager
def working(
    title: str, total: int | None = None, *, console: Console | None = None
) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs.

    Args:
        title: what is being done, in any text; nothing in it is markup.
        total: number of steps; None for work whose end is not known, whose bar moves to and fro.
        console: where to show it; None takes standard error.

    Yields:
        A function to call after each step.
    """
    console = Console(stderr=True) if console is None else console
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(printable(title, console.encoding), total=total)
        yield lambda: progress.advance(task)
