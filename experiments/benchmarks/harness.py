"""Compare sides that take turns, each in a process of its own, so that only one computes at a time.

A side is a function that builds its jobs: named runs without arguments. Each side has its own
process because two libraries in one would share memory, threads and caches. A run waits for its
result, and the harness takes wall-clock and processor seconds around it. Peak memory is measured
in a separate run, which begins once all free memory has been returned to the system. A timed run
follows directly on an untimed one, as in a loop, because the system may have evicted the caches and
the memory of a process that was waiting.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.metadata
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

from resnet_jax.storage import expand_user, write_json

Run = Callable[[], Any]
Build = Callable[..., Mapping[str, Run]]

SETTLE_SECONDS = 0.2
"""Pause before each turn: idle threads of the previous side may still be spinning."""

LONG_SECONDS = 10.0
"""A run that takes longer is timed without an untimed run before it."""


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        wall: Seconds.
        cpu: Processor seconds of all threads.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Summary:
    """Medians over the runs of one job.

    Attributes:
        wall: Seconds.
        cpu: Processor seconds, divided by the number of processors.
        runs: The number of runs.
        peak: Peak memory in bytes, above that before the side was built; 0 if not measured.
    """

    wall: float
    cpu: float
    runs: int
    peak: int = 0

    @classmethod
    def of(cls, samples: Sequence[Sample], peak: int = 0) -> Summary:
        """Summarise samples by their medians."""
        return cls(
            wall=statistics.median(sample.wall for sample in samples),
            cpu=statistics.median(sample.cpu for sample in samples) / (os.cpu_count() or 1),
            runs=len(samples),
            peak=peak,
        )

    def seconds(self, clock: str) -> float:
        """Return the seconds by the clock `"wall"` or `"cpu"`."""
        return float(getattr(self, clock))


class Worker:
    """A process that builds a side and runs its jobs when told to.

    Args:
        build: A function at the top level of a module.
        arguments: The arguments of `build`.

    Raises:
        RuntimeError: If the process fails; the message is its traceback.
    """

    def __init__(self, build: Build, **arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.jobs: list[str] = self._answer()

    def run(self, job: str) -> Sample:
        """Run a job once."""
        self._connection.send((job, False))
        sample: Sample = self._answer()
        return sample

    def turn(self, job: str) -> Sample:
        """Run a job twice and return the second sample, or once if that takes long."""
        sample = self.run(job)
        return sample if sample.wall > LONG_SECONDS else self.run(job)

    def peak(self, job: str) -> int:
        """Run a job once and return its peak memory, in bytes above that before building."""
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
    """Build the side, then run what the connection asks for until it closes."""
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
    except (EOFError, KeyboardInterrupt):
        return
    except Exception:
        connection.send(traceback.format_exc())


def _memory(field: str) -> int:
    """Return a field of this process's status in bytes, on Linux; 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    """Return free memory to the system and reset the peak, on Linux."""
    if Path("/proc/self/clear_refs").exists():
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def compare(
    sides: Mapping[str, tuple[Build, dict[str, Any]]],
    *,
    repeats: int,
    budget: float = float("inf"),
) -> dict[str, dict[str, Summary]]:
    """Measure all jobs of all sides, which take turns.

    Args:
        sides: The function that builds each side, and its arguments.
        repeats: Timed runs of each job.
        budget: Seconds of timed runs after which a side's job is not run again.

    Returns:
        The medians by job and side.
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
    """Return what the figures are taken on: processor, cores, load and versions."""
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
    """Return `machine` as one line."""
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = " ".join(map(str, facts["load"]))
    return f"{facts['processor']}, {facts['cores']} cores, load {load}; {versions}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, with floats to two decimals.

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


def exit_code(work: Callable[[], int]) -> int:
    """Run a benchmark's command as `experiments.cli.exit_code` does.

    Args:
        work: the command.
    """
    from ..cli import exit_code  # It imports JAX, which the processes of other sides must not.

    return exit_code(work)


def new_file(text: str) -> Path:
    """Read an argument of `argparse` as the path of a file to write, which must not exist yet.

    Args:
        text: the argument; a `~` at its beginning becomes the home folder.

    Raises:
        argparse.ArgumentTypeError: if the file must not be written.
    """
    from ..outputs import check_new  # Likewise.

    try:
        path = expand_user(text)
        check_new([path], option="json", advice="name another file")
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def save(path: Path | None, figures: Any) -> None:
    """Write the figures and the machine to a JSON file, if a path is given."""
    if path is not None:
        write_json(path, {"machine": machine(), "figures": figures})
