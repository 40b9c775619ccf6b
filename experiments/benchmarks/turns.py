"""Measure benches that take turns: a failure of one is noted, and the others go on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from .bench import Bench, Built, Turn
from .harness import SETTLE_SECONDS, Failure, ProcessError, Remote

LEAST_SECONDS = 1.0
"""A call that is begun gets at least this long, whatever the clock says."""


@dataclass(frozen=True)
class Side:
    """How to make a bench in a process of its own.

    Attributes:
        make: A class or function at the top level of a module.
        arguments: Its arguments.
        environment: Environment variables of the process.
    """

    make: Callable[..., Bench]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One job of one side.

    Attributes:
        seconds: Median wall-clock seconds of a repetition.
        cpu_seconds: Median processor seconds, divided by the number of processors.
        device_seconds: Median by the device's own clock; None where it has none to read.
        turns: How many turns were timed.
        built: What it took to build the job.
        alone: Whether it was measured after the other sides, because memory was short beside them.
    """

    seconds: float
    cpu_seconds: float
    device_seconds: float | None
    turns: int
    built: Built
    alone: bool = False

    @classmethod
    def of(cls, turns: Sequence[Turn], built: Built, *, alone: bool) -> Result:
        """Summarise turns by their medians."""
        device = [turn.device for turn in turns if turn.device is not None]
        return cls(
            seconds=statistics.median(turn.wall for turn in turns),
            cpu_seconds=statistics.median(turn.cpu for turn in turns) / (os.cpu_count() or 1),
            device_seconds=statistics.median(device) if device else None,
            turns=len(turns),
            built=built,
            alone=alone,
        )


class Deadline:
    """A time after which nothing new is begun.

    Args:
        seconds: From now on.
    """

    def __init__(self, seconds: float = float("inf")) -> None:
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may take; None for as long as it wants."""
        left = self._end - time.monotonic()
        return None if left == float("inf") else max(left, LEAST_SECONDS)


Measured = dict[str, dict[str, Result | Failure]]
"""What was found, by job and side."""


def measure(
    sides: Mapping[str, Side], jobs: Sequence[str], *, repeats: int, deadline: Deadline
) -> Measured:
    """Measure all jobs of all sides, which take turns.

    A job that lacks memory while the processes of the other sides hold some of the device's is
    tried again when those have ended.

    Args:
        sides: The sides by name.
        jobs: The names of the jobs, in the order in which they are built.
        repeats: Timed turns of each job.
        deadline: When it passes, rounds that are not begun are left out, and a call that lasts is
            broken off together with its process.
    """
    found = _measure(sides, jobs, repeats=repeats, deadline=deadline, alone=len(sides) == 1)
    for name, side in sides.items() if len(sides) > 1 else ():
        short = [job for job in jobs if _lacks_memory(found[job][name])]
        if short and not deadline.passed:
            again = _measure({name: side}, short, repeats=repeats, deadline=deadline, alone=True)
            for job in short:
                found[job][name] = again[job][name]
    return found


def _lacks_memory(result: Result | Failure) -> bool:
    return isinstance(result, Failure) and result.out_of_memory


def _measure(
    sides: Mapping[str, Side],
    jobs: Sequence[str],
    *,
    repeats: int,
    deadline: Deadline,
    alone: bool,
) -> Measured:
    """Measure in one process for each side, all of which live until the end."""
    built: dict[tuple[str, str], Built] = {}
    turns: dict[tuple[str, str], list[Turn]] = {}
    failures: dict[tuple[str, str], Failure] = {}
    with ExitStack() as stack:
        # Their libraries are imported at the same time.
        workers = {
            name: stack.enter_context(Remote(side.make, side.environment, **side.arguments))
            for name, side in sides.items()
        }

        def ask(name: str, of_jobs: Sequence[str], call: Callable[..., Any], *words: str) -> Any:
            """Return the answer of a process; None where it fails, which these jobs have then."""
            try:
                return call(*words, timeout=deadline.timeout)
            except ProcessError as error:
                failure = error.failure
                if deadline.passed:
                    failure = replace(failure, reason=f"the time was up: {failure.reason}")
                if error.ended:
                    del workers[name]
                    of_jobs = jobs
                for job in of_jobs:
                    failures.setdefault((job, name), failure)
                # Only now is the error gone, and with it what it kept in memory.
                if not error.ended and words != ("release",):
                    ask(name, (), call, "release")
                return None

        for name, worker in list(workers.items()):
            ask(name, jobs, worker.ready)
        for job in jobs:
            for name, worker in list(workers.items()):
                answer = ask(name, [job], worker.call, "build", job)
                if answer is not None:
                    built[job, name], turns[job, name] = answer, []
        for at in range(repeats):
            if at and deadline.passed:
                break
            for (job, name), done in turns.items():
                if name not in workers or (job, name) in failures:
                    continue
                time.sleep(SETTLE_SECONDS)
                answer = ask(name, [job], workers[name].call, "turn", job)
                if answer is not None:
                    done.append(answer)
    return {
        job: {
            name: Result.of(turns[job, name], built[job, name], alone=alone)
            if turns.get((job, name))
            else failures[job, name]
            for name in sides
        }
        for job in jobs
    }
