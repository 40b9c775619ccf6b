"""Sides that take turns, each in a process of its own, so that only one computes at a time.

A side is a function that builds its jobs, named runs without arguments. Each side has its own
process because two libraries in one would share memory, threads and caches. A run waits for its
result; the harness takes wall-clock and processor seconds around it. The peak of the process's
memory is that of a run by itself, which begins with all free memory given back to the system. A
timed run comes right after one that is not, as in a loop: what a process waits for, the system may
have taken from its caches and its memory.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

Run = Callable[[], Any]
Build = Callable[..., Mapping[str, Run]]

SETTLE_SECONDS = 0.2
"""Pause before each turn: idle threads of the side before may still be spinning."""

LONG_SECONDS = 10.0
"""A run that takes longer is timed without another before it."""


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        wall: seconds.
        cpu: processor seconds of all threads.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Summary:
    """The runs of one job: medians.

    Attributes:
        wall: seconds.
        cpu: processor seconds, divided by the number of processors.
        runs: how many.
        peak: bytes of memory at most, above those before the side was built; 0 if not measured.
    """

    wall: float
    cpu: float
    runs: int
    peak: int = 0

    @classmethod
    def of(cls, samples: Sequence[Sample], peak: int = 0) -> Summary:
        """The medians of samples."""
        return cls(
            wall=statistics.median(sample.wall for sample in samples),
            cpu=statistics.median(sample.cpu for sample in samples) / (os.cpu_count() or 1),
            runs=len(samples),
            peak=peak,
        )

    def seconds(self, clock: str) -> float:
        """By ``"wall"`` or ``"cpu"``."""
        return float(getattr(self, clock))


class Worker:
    """A process that builds a side and runs its jobs when told to.

    Args:
        build: a function at the top level of a module.
        arguments: for it.

    Raises:
        RuntimeError: with the traceback of the process, if it fails.
    """

    def __init__(self, build: Build, **arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.jobs: list[str] = self._answer()

    def run(self, job: str) -> Sample:
        """Runs a job once."""
        self._connection.send((job, False))
        sample: Sample = self._answer()
        return sample

    def turn(self, job: str) -> Sample:
        """Runs a job, and once more to be timed unless that took long."""
        sample = self.run(job)
        return sample if sample.wall > LONG_SECONDS else self.run(job)

    def peak(self, job: str) -> int:
        """Runs a job once, for its memory: bytes above those before the side was built."""
        self._connection.send((job, True))
        peak: int = self._answer()
        return peak

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError as error:
            self._process.join()
            code = self._process.exitcode
            raise RuntimeError(f"a benchmark's process ended with code {code}") from error
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def _serve(connection: Connection, build: Build, arguments: dict[str, Any]) -> None:
    """The worker's side of the connection: build, then run what is asked for until it closes."""
    try:
        before = _memory("VmRSS")
        runs = build(**arguments)
        connection.send(list(runs))
        while True:
            job, for_memory = connection.recv()
            gc.collect()
            if for_memory:
                _forget_peak()
            wall, cpu = time.perf_counter(), time.process_time()
            runs[job]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            connection.send(_memory("VmHWM") - before if for_memory else Sample(wall, cpu))
    except EOFError:
        return
    except Exception:
        connection.send(traceback.format_exc())


def _memory(field: str) -> int:
    """Bytes from this process's status, on Linux; 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    """Gives free memory back and starts the peak anew, on Linux."""
    if Path("/proc/self/clear_refs").exists():
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def compare(
    sides: Mapping[str, tuple[Build, dict[str, Any]]],
    *,
    repeats: int,
    budget: float = float("inf"),
) -> dict[str, dict[str, Summary]]:
    """Measures all jobs of all sides, taking turns.

    Args:
        sides: how to build each.
        repeats: timed runs of each job.
        budget: seconds of a side's job, after which it is run no more.

    Returns:
        Job → side → medians.
    """
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(build, **arguments))
            for name, (build, arguments) in sides.items()
        }
        samples: dict[str, dict[str, list[Sample]]] = {}
        peaks: dict[tuple[str, str], int] = {}
        for name, worker in workers.items():
            for job in worker.jobs:
                samples.setdefault(job, {})[name] = []
                worker.run(job)
                peaks[job, name] = worker.peak(job)
        for _ in range(repeats):
            for job, of_sides in samples.items():
                for name, done in of_sides.items():
                    if done and sum(sample.wall for sample in done) > budget:
                        continue
                    time.sleep(SETTLE_SECONDS)
                    done.append(workers[name].turn(job))
    return {
        job: {name: Summary.of(done, peaks[job, name]) for name, done in of_sides.items()}
        for job, of_sides in samples.items()
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, load, versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (line.split(": ")[1] for line in lines if line.startswith("model name")), model
        )
    versions = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "torch", "pillow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "none"
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": versions,
    }


def describe_machine() -> str:
    """``machine`` as one line."""
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = " ".join(map(str, facts["load"]))
    return f"{facts['processor']}, {facts['cores']} cores, load {load}; {versions}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a Markdown table, numbers with two decimals.

    >>> print_table(["network", "ratio"], [["resnet34", 0.875]])
    | network | ratio |
    | --- | --- |
    | resnet34 | 0.88 |
    """
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        cells = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row)
        print("| " + " | ".join(cells) + " |", flush=True)


def write_json(path: Path | None, figures: Any) -> None:
    """Writes the figures and the machine to a file, if one is named."""
    if path is not None:
        path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n")
