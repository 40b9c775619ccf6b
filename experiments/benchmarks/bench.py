"""What a side of a comparison does in its own process: it builds jobs and runs them in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from .harness import LONG_SECONDS, forget_peak, memory

Loop = Callable[[int], None]
"""Does a job so many times and waits for the last result."""

MOST_REPETITIONS = 200

RESIDENT_SET = "process"
"""The source of a peak: the process's resident set, above that with the libraries loaded."""

ALLOCATOR = "allocator"
"""The source of a peak: the statistics of the device's allocator."""

COMPILED = "compiled"
"""The source of a peak: the compiler's analysis of the program."""


@dataclass(frozen=True)
class Built:
    """What it took to build a job and run it for the first time.

    Attributes:
        first_seconds: Compilation and first run; weights and images are there before.
        repetitions: How often a turn repeats the job.
        peak_bytes: Peak memory of a run; 0 if it is not known.
        memory_source: Where the peak comes from: `RESIDENT_SET`, `ALLOCATOR` or `COMPILED`.
        compiled_bytes: What the compiler says that the program takes; None without a compiler.
    """

    first_seconds: float
    repetitions: int
    peak_bytes: int
    memory_source: str
    compiled_bytes: int | None = None


@dataclass(frozen=True)
class Turn:
    """One turn of a job, for each repetition.

    Attributes:
        wall: Seconds until the result was there.
        cpu: Processor seconds of all threads.
        device: Seconds by the device's own clock; None where it has none to read.
    """

    wall: float
    cpu: float
    device: float | None = None


class Bench:
    """The jobs of a side, which are built one after the other, and then run in turns.

    A subclass makes their loops. It calls `__init__` when its libraries are loaded.

    Attributes:
        turn_seconds: A turn repeats its job for about this long, so that the wait at its end does
            not count.
        before: The resident set before the first job, in bytes.
    """

    turn_seconds = 0.5

    def __init__(self) -> None:
        self.before = memory("VmRSS")
        self._loops: dict[str, Loop] = {}
        self._repetitions: dict[str, int] = {}
        self._long: dict[str, bool] = {}

    def make(self, job: str) -> Loop:
        """Make a job's weights and images, and the loop, whose first run compiles."""
        raise NotImplementedError

    def measure_peak(self, job: str, loop: Loop) -> tuple[int, str]:
        """Run a loop once and return its peak memory in bytes, and where that comes from."""
        forget_peak()
        loop(1)
        return max(0, memory("VmHWM") - self.before), RESIDENT_SET

    def compiled_bytes(self, job: str) -> int | None:
        """Return the bytes that the compiled program of a job takes; None without a compiler."""
        del job
        return None

    def time_on_device(self, loop: Loop, count: int) -> float | None:
        """Run a loop and return the seconds by the device's clock; None where it has none."""
        loop(count)
        return None

    def release(self) -> None:
        """Give back memory that the other sides may need, after a turn or a failure."""

    def build(self, job: str) -> Built:
        """Build a job and run it for the first time."""
        loop = self.make(job)
        first = self._seconds(loop, 1)
        peak, source = self.measure_peak(job, loop)
        one = self._seconds(loop, 1)
        count = math.ceil(self.turn_seconds / max(one, 1e-9))
        self._repetitions[job] = max(1, min(count, MOST_REPETITIONS))
        self._long[job] = one > LONG_SECONDS
        self._loops[job] = loop
        self.release()
        return Built(first, self._repetitions[job], peak, source, self.compiled_bytes(job))

    def turn(self, job: str) -> Turn:
        """Run a job untimed, then timed; a long one is timed at once."""
        loop, count = self._loops[job], self._repetitions[job]
        if not self._long[job]:
            loop(count)
        wall, cpu = time.perf_counter(), time.process_time()
        device = self.time_on_device(loop, count)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.release()
        return Turn(wall / count, cpu / count, None if device is None else device / count)

    @staticmethod
    def _seconds(loop: Loop, count: int) -> float:
        start = time.perf_counter()
        loop(count)
        return time.perf_counter() - start
