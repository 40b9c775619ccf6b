"""What a run shows on the terminal: lines that stay, and a live bar below them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..storage import printable
from .config import FitConfig
from .sinks import Sink


class Reporter:
    """Prints lines, and where the output is a terminal a bar with ETA and images/s.

    Attributes:
        console: where to print; None is standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True) if console is None else console

    def line(self, text: str) -> None:
        """Print a line; it stays above the bar.

        Args:
            text: any text; nothing in it is markup, and what the terminal cannot show is written
                as an escape.
        """
        self.console.print(Text(printable(text, self.console.encoding)))

    @contextmanager
    def bar(self, title: str, total: int, images_per_step: int) -> Iterator[Bar]:
        """Show a bar over `total` steps while the context lasts.

        Args:
            title: text before the bar.
            total: number of steps.
            images_per_step: images in a step, for the rate.
        """
        progress = Progress(
            TextColumn("{task.description}", markup=False),
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
        shown = printable(title, self.console.encoding)
        with progress:
            yield Bar(progress, shown, total, images_per_step)


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
        """Count one step."""
        self._steps += 1
        seconds = time.perf_counter() - self._start
        self.rate = self._steps * self._images_per_step / seconds
        self._progress.update(self._task, advance=1, rate=self.rate)


class ProgressLines(Sink):
    """The lines that a training prints: a loss now and then, and the accuracies of every epoch."""

    def __init__(self, reporter: Reporter, config: FitConfig, steps: int) -> None:
        """Set what the lines say.

        Args:
            reporter: prints them.
            config: of the run.
            steps: optimizer steps in an epoch.
        """
        self._reporter, self._epochs, self._steps = reporter, config.epochs, steps
        self._every, self._is_running = config.log_every, config.train_accuracy == "running"

    def log(self, event: Mapping[str, Any]) -> None:
        """Print an event, if it is worth a line."""
        head = f"Epoch: {event['epoch']:03d}/{self._epochs:03d}"
        if event["event"] == "epoch":
            parts = [head]
            if "image_size" in event:
                parts.append(f"{event['image_size']} px")
            if "train_accuracy" in event:
                name = "Train (running)" if self._is_running else "Train"
                parts.append(f"{name}: {event['train_accuracy']:.2f}%")
            parts.append(f"Validation: {event['valid_accuracy']:.2f}%")
            self._reporter.line(" | ".join(parts))
            self._reporter.line(f"Time elapsed: {event['seconds'] / 60:.2f} min")
            return
        batch = (event["step"] - 1) % self._steps
        if batch % self._every == 0:
            self._reporter.line(
                f"{head} | Batch {batch:04d}/{self._steps:04d} | Loss: {event['loss']:.4f}"
            )
