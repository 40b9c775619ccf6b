"""What a run shows on the terminal: lines that stay, and a live bar below them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Reporter:
    """Prints lines, and where the output is a terminal a bar with ETA and images/s.

    Attributes:
        console: where to print; None is standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True) if console is None else console

    def line(self, text: str) -> None:
        """Prints a line; it stays above the bar."""
        self.console.print(text, markup=False)

    @contextmanager
    def bar(self, title: str, total: int, images_per_step: int) -> Iterator[Bar]:
        """A bar over ``total`` steps, shown while the context lasts.

        Args:
            title: stands before the bar.
            total: steps.
            images_per_step: for the rate.
        """
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with progress:
            yield Bar(progress, title, total, images_per_step)


class Bar:
    """The bar of one loop.

    Attributes:
        rate: images a second so far.
    """

    def __init__(self, progress: Progress, title: str, total: int, images_per_step: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, rate=0.0)
        self._images_per_step = images_per_step
        self._start = time.perf_counter()
        self._steps = 0
        self.rate = 0.0

    def advance(self) -> None:
        """Counts one step."""
        self._steps += 1
        seconds = time.perf_counter() - self._start
        self.rate = self._steps * self._images_per_step / seconds
        self._progress.update(self._task, advance=1, rate=self.rate)
