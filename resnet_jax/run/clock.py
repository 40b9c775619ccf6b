"""How long a run took, what its epochs are made of, and how fast its steps were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

PARTS = ("data", "steps", "train_evaluation", "valid_evaluation", "checkpoints", "other")
"""What the time of an epoch is divided into; see `Stopwatch`."""


class Stopwatch:
    """Seconds of a run over all its parts, and what those of the present epoch were spent on.

    Each second of the host counts for exactly one of `PARTS`, so that together they are the
    epoch's. Devices work while the host goes on, and nothing waits for them to be measured:

    - `data`: the host waited for the next training batch. Where reading is the bottleneck, the step
      that a device computes meanwhile counts here.
    - `steps`: it compiled and dispatched training steps, waited for the loss of the step before,
      which is how long a step takes where devices are the bottleneck, and wrote the log.
    - `train_evaluation`, `valid_evaluation`: the accuracy of the training and validation images,
      from their first batch to the last, reading and compiling included.
    - `checkpoints`: the training waited for a save. What is written in the background is left out.
      That of an epoch's end counts for the epoch after it.
    - `other`: everything else, such as a start or the order of the images.
    """

    def __init__(
        self,
        before: float = 0.0,
        parts: Mapping[str, float] | None = None,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start.

        Args:
            before: seconds of the run before it was resumed.
            parts: those of its unfinished epoch, by the names of `PARTS`.
            now: seconds since any moment.
        """
        self._before, self._now, self._started = before, now, now()
        self._parts = dict.fromkeys(PARTS, 0.0) | dict(parts or {})
        self._part, self._since = "other", self._started

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + self._now() - self._started

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of the present epoch so far, by the names of `PARTS`."""
        self._turn_to(self._part)
        return dict(self._parts)

    def lap(self) -> dict[str, float]:
        """Return the `parts` of the epoch that ends, and begin another."""
        parts = self.parts
        self._parts = dict.fromkeys(PARTS, 0.0)
        return parts

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the body's time for one of `PARTS`; inside another's body it is not the other's.

        Args:
            name: of the part.
        """
        outer = self._part
        self._turn_to(name)
        try:
            yield
        finally:
            self._turn_to(outer)

    def waits(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, and count the time until each is there for one of `PARTS`.

        Args:
            name: of the part.
            items: the items.
        """
        iterator, end = iter(items), object()
        while True:
            with self.part(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]

    def _turn_to(self, name: str) -> None:
        """Count the time so far for the present part, and what follows for another."""
        now = self._now()
        self._parts[self._part] += now - self._since
        self._part, self._since = name, now


class StepTimer:
    """Time spent in training steps, without those that compile."""

    def __init__(self) -> None:
        self._seconds, self._steps, self._counts = 0.0, 0, False

    @contextmanager
    def step(self, *, compiles: bool) -> Iterator[None]:
        """Time the body as one step.

        Args:
            compiles: whether it is the first with its program, and is left out.
        """
        self._counts = not compiles
        self._steps += self._counts
        with self.more():
            yield

    @contextmanager
    def more(self) -> Iterator[None]:
        """Add the body's time to the last step's."""
        start = time.perf_counter()
        yield
        if self._counts:
            self._seconds += time.perf_counter() - start

    def rate(self, images_per_step: int) -> float | None:
        """Return images per second, or None where all steps have compiled."""
        return self._steps * images_per_step / self._seconds if self._steps > 0 else None
