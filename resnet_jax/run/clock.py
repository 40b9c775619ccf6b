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
    """Time spent in training steps, the first of which compiles and is left out."""

    def __init__(self) -> None:
        self._seconds, self._steps = 0.0, -1

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time the body as one step."""
        self._steps += 1
        with self.more():
            yield

    @contextmanager
    def more(self) -> Iterator[None]:
        """Add the body's time to the last step's."""
        start = time.perf_counter()
        yield
        if self._steps > 0:
            self._seconds += time.perf_counter() - start

    def rate(self, images_per_step: int) -> float | None:
        """Return images per second, or None where no step but the first was timed."""
        return self._steps * images_per_step / self._seconds if self._steps > 0 else None
