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
import re
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resnet_jax.storage import expand_user, first_line, write_json

Run = Callable[[], Any]
Build = Callable[..., Mapping[str, Run]]

SETTLE_SECONDS = 0.2
"""Pause before each turn: idle threads of the previous side may still be spinning."""

LONG_SECONDS = 10.0
"""A run that takes longer is timed without an untimed run before it."""

_OUT_OF_MEMORY = re.compile(
    r"out.?of.?memory|RESOURCE_EXHAUSTED|can.t allocate memory|cannot allocate memory",
    re.IGNORECASE,
)


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


@dataclass(frozen=True)
class Failure:
    """An error in a process.

    Attributes:
        reason: The message, in one line.
        traceback: The traceback.
        out_of_memory: Whether memory was missing.
    """

    reason: str
    traceback: str
    out_of_memory: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an error that is being handled."""
        return cls(
            reason=f"{type(error).__name__}: {first_line(error)}",
            traceback=traceback.format_exc(),
            out_of_memory=isinstance(error, MemoryError)
            or bool(_OUT_OF_MEMORY.search(f"{type(error).__name__}: {error}")),
        )


class ProcessError(RuntimeError):
    """A call failed, or its process ended.

    Args:
        failure: What happened; its traceback is the message.
        ended: Whether the process takes no more calls.
    """

    def __init__(self, failure: Failure, *, ended: bool) -> None:
        super().__init__(failure.traceback)
        self.failure = failure
        self.ended = ended


class Remote:
    """An object in a process of its own, whose methods can be called from here.

    Args:
        make: Makes the object: a function or class at the top level of a module.
        environment: Environment variables of the process, beside those of this one.
        **arguments: The arguments of `make`.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, make, dict(environment or {}), arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def ready(self, timeout: float | None = None) -> None:
        """Wait until the object is made; once, before the first call.

        Args:
            timeout: Seconds after which the process is ended.

        Raises:
            ProcessError: If it cannot be made.
        """
        self._answer(timeout)

    def call(self, method: str, *arguments: Any, timeout: float | None = None) -> Any:
        """Call a method and return its result.

        Args:
            method: The name of the method.
            *arguments: Its arguments.
            timeout: Seconds after which the process is ended.

        Raises:
            ProcessError: If the method raises, or if the process ends.
        """
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise self._has_ended() from None
        return self._answer(timeout)

    def _answer(self, timeout: float | None) -> Any:
        try:
            if not self._connection.poll(timeout):
                self._process.kill()
                reason = f"ended because it gave no answer within {timeout:.0f} s"
                raise ProcessError(Failure(reason, reason), ended=True)
            answer, ended = self._connection.recv()
        except (EOFError, ConnectionError):
            raise self._has_ended() from None
        if isinstance(answer, Failure):
            raise ProcessError(answer, ended=ended)
        return answer

    def _has_ended(self) -> ProcessError:
        self._process.join(10)
        reason = f"a benchmark's process ended with code {self._process.exitcode}"
        return ProcessError(Failure(reason, reason), ended=True)

    def __enter__(self) -> Self:
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


def _serve(
    connection: Connection,
    make: Callable[..., Any],
    environment: Mapping[str, str],
    arguments: Mapping[str, Any],
) -> None:
    """Make the object, then call the methods that the connection names until it closes."""
    os.environ.update(environment)
    try:
        try:
            served = make(**arguments)
        except Exception as error:
            connection.send((Failure.of(error), True))
            return
        connection.send((None, False))
        while True:
            method, values = connection.recv()
            gc.collect()
            try:
                answer = getattr(served, method)(*values)
            except Exception as error:
                answer = Failure.of(error)
            connection.send((answer, False))
    except (EOFError, OSError, KeyboardInterrupt):
        return


class Worker(Remote):
    """A process that builds a side and runs its jobs when told to.

    Args:
        build: A function at the top level of a module.
        arguments: The arguments of `build`.

    Raises:
        ProcessError: If the process fails; the message is its traceback.
    """

    def __init__(self, build: Build, **arguments: Any) -> None:
        super().__init__(_Runs, build=build, arguments=arguments)
        self.ready()
        self.jobs: list[str] = self.call("names")

    def run(self, job: str) -> Sample:
        """Run a job once."""
        sample: Sample = self.call("run", job)
        return sample

    def turn(self, job: str) -> Sample:
        """Run a job twice and return the second sample, or once if that takes long."""
        sample = self.run(job)
        return sample if sample.wall > LONG_SECONDS else self.run(job)

    def peak(self, job: str) -> int:
        """Run a job once and return its peak memory, in bytes above that before building."""
        peak: int = self.call("peak", job)
        return peak


class _Runs:
    """The jobs of a side, in its process."""

    def __init__(self, build: Build, arguments: Mapping[str, Any]) -> None:
        self._before = memory("VmRSS")
        self._runs = build(**arguments)

    def names(self) -> list[str]:
        """Return the names of the jobs."""
        return list(self._runs)

    def run(self, job: str) -> Sample:
        """Run a job once and take its times."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._runs[job]()
        return Sample(time.perf_counter() - wall, time.process_time() - cpu)

    def peak(self, job: str) -> int:
        """Run a job once and return the bytes of its peak above those before building."""
        forget_peak()
        self._runs[job]()
        return memory("VmHWM") - self._before


def memory(field: str) -> int:
    """Return a field of this process's status in bytes, on Linux; 0 elsewhere.

    Args:
        field: `"VmRSS"`, which is the resident set, or `"VmHWM"`, which is its peak.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
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


def table_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, with floats to two decimals.

    >>> list(table_lines(["network", "ratio"], [["resnet34", 0.875]]))
    ['| network | ratio |', '| --- | --- |', '| resnet34 | 0.88 |']
    """
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        cells = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row)
        yield "| " + " | ".join(cells) + " |"


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table row by row, as they come; see `table_lines`."""
    for line in table_lines(header, rows):
        print(line, flush=True)


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
