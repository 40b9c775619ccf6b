"""How long a run took, and how fast its steps were."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds of a run over all its parts.

    Args:
        before: seconds of the parts before this one.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._started = before, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.perf_counter() - self._started


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
