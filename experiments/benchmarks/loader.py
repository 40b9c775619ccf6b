"""Images read from JPEG files, in images a second and bytes of memory: ours and torch's DataLoader.

    python -m experiments.benchmarks.loader

The files are of photograph size (500 x 375 pixels, as ImageNet's, unless --width says otherwise),
made from two photographs of scikit-learn. Both sides shuffle, decode by Pillow, cut out a random
part and resize it to 224 pixels as torchvision's RandomResizedCrop does, and give batches in uint8.
torch's mirrors half of them, too, which ours leaves to the device, and puts the channels first, as
its networks take them. The sides take turns, each in a process of its own with its own workers; 0
workers are threads of the process for us, and the process itself for torch.

The rate is that between the first and the last full batch; `start` is the time until the first,
most of which our workers need to start Python. `CPU` is the processor time of all processes of a
side for an image, which other work on the machine changes less. The memory is theirs, too, shared
pages counted once. Figures are medians of the runs.

`draft` decodes a file at a fraction of its size where that is enough, which pays for large files:

    python -m experiments.benchmarks.loader --sources folder --width 1600 --images 128
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .command_line import CommandLine
from .harness import describe_machine, exit_code, new_file, print_table, save
from .photographs import WRITERS, encoded

SIDE = 224
_PAUSE = 0.25  # seconds between two looks at the memory

Job = Callable[[], AbstractContextManager[Iterator[Any]]]
"""Begins a pass; gives its batches."""


class Measured(NamedTuple):
    """What one pass took.

    Attributes:
        start: seconds to the first batch.
        rate: images a second from then to the last full batch.
        memory: most bytes of all processes of the side together.
        cpu: processor seconds of all of them, an image.
    """

    start: float
    rate: float
    memory: int
    cpu: float


def our_jobs(
    *,
    root: Path,
    sources: Sequence[str],
    workers: Sequence[int],
    batch: int,
    passes: int,
    side: int,
) -> dict[str, Job]:
    """Build our passes over each source with each number of workers, and with `draft`.

    Args:
        root: has a folder for each source.
        sources: names in `WRITERS`.
        workers: numbers of workers.
        batch: images a batch.
        passes: passes over the images in one order.
        side: height and width of the results, in pixels.
    """
    from dataclasses import replace

    from resnet_jax.data import (
        ImageStream,
        ImageTransform,
        RandomResizedCrop,
        open_records,
        read_ahead,
    )

    def job(stream: ImageStream) -> Job:
        rows = np.tile(np.random.default_rng(0).permutation(len(stream)), passes)
        return lambda: read_ahead(stream, rows, batch=batch, crop=(0, 0))

    jobs = {}
    for source in sources:
        stream = ImageStream(
            records=open_records(root / source).train,
            center=ImageTransform(resize=side, crop=side),
            random=RandomResizedCrop(size=side),
        )
        for count in workers:
            jobs[f"{source}, {count}"] = job(replace(stream, workers=count))
            if source == "folder":
                jobs[f"folder draft, {count}"] = job(replace(stream, workers=count, draft=True))
    return jobs


def torch_jobs(
    *, root: Path, workers: Sequence[int], batch: int, passes: int, side: int
) -> dict[str, Job]:
    """Build the passes of torch's DataLoader over the files; see `our_jobs`."""
    import torch

    from .torch_photographs import PhotographDataset

    # As in its workers.
    torch.set_num_threads(1)
    dataset = PhotographDataset(sorted((root / "folder").rglob("*.jpg")), passes, side)

    def job(count: int) -> Job:
        @contextmanager
        def read() -> Iterator[Iterator[Any]]:
            loader = torch.utils.data.DataLoader(
                dataset,
                batch_size=batch,
                shuffle=True,
                num_workers=count,
                # Its default on Linux; a process that was spawned would spawn.
                multiprocessing_context="fork" if count else None,
            )
            iterator = iter(loader)
            yield iterator
            shut_down = getattr(iterator, "_shutdown_workers", None)
            if shut_down is not None:
                shut_down()

        return read

    return {f"folder, {count}": job(count) for count in workers}


def measure(job: Job) -> Measured:
    """Do one pass, and look at the memory meanwhile.

    Args:
        job: begins the pass.
    """
    # Most memory, and the processor time of looking at it, which is not the side's.
    most, looking, ended = [0], [0.0], threading.Event()

    def look() -> None:
        while True:
            most[0] = max(most[0], sum(map(_memory, _tree())))
            looking[0] = time.thread_time()
            if ended.wait(_PAUSE):
                return

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    begun = time.perf_counter()
    with job() as batches:
        size, count = len(next(batches)), 0
        first = last = time.perf_counter()
        processes = _tree()
        before = after = _cpu(processes) - looking[0]
        for images in batches:
            # With the last few images workers end, and take half a second for it.
            if len(images) == size:
                count += size
                last, after = time.perf_counter(), _cpu(processes) - looking[0]
    ended.set()
    watch.join()
    return Measured(
        first - begun, count / (last - first), most[0], max(0.0, after - before) / count
    )


def _stat(process: int) -> list[str]:
    """Return the fields of a process from its state on, as proc(5) names them; none if it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _tree() -> list[int]:
    """Return this process and all that it has started, where the system has /proc."""
    parents = {
        int(path.name): int(fields[1])
        for path in Path("/proc").glob("[0-9]*")
        if (fields := _stat(int(path.name)))
    }
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _memory(process: int) -> int:
    """Return the bytes of a process, its part of shared pages; 0 if it ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def _cpu(processes: Sequence[int]) -> float:
    """Return the processor seconds of some processes, and of their children that ended."""
    ticks = sum(sum(map(int, _stat(process)[11:15])) for process in processes)
    return ticks / os.sysconf("SC_CLK_TCK")


def _serve(connection: Connection, build: Any, arguments: Mapping[str, Any]) -> None:
    jobs = build(**arguments)
    connection.send(list(jobs))
    while (name := connection.recv()) is not None:
        connection.send(measure(jobs[name]))


@contextmanager
def side_process(build: Any, **arguments: Any) -> Iterator[Connection]:
    """Run a side in a process that may have workers: send a job's name, receive what it took.

    Args:
        build: `our_jobs` or `torch_jobs`.
        **arguments: its arguments.

    Yields:
        The connection; the names of the jobs come first.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, build, arguments))
    process.start()
    theirs.close()
    with closing(ours):
        try:
            yield ours
            ours.send(None)
        except EOFError as error:
            raise RuntimeError("a side of the benchmark has failed; see above") from error
    process.join()


def compare(
    root: Path,
    *,
    sources: Sequence[str],
    workers: Sequence[int],
    batch: int,
    passes: int,
    repeats: int,
    side: int = SIDE,
) -> dict[str, dict[str, Measured]]:
    """Return the medians by job and side; the sides take turns.

    Args:
        root: has a folder for each source.
        sources: names in `WRITERS`.
        workers: numbers of workers.
        batch: images a batch.
        passes: passes over the images in a run.
        repeats: runs of each job and side.
        side: height and width of the results, in pixels.
    """
    options = {"workers": workers, "batch": batch, "passes": passes, "side": side, "root": root}
    found: dict[str, dict[str, list[Measured]]] = {}
    with ExitStack() as stack:
        sides = {
            "ours": stack.enter_context(side_process(our_jobs, sources=sources, **options)),
            "torch": stack.enter_context(side_process(torch_jobs, **options)),
        }
        jobs = {name: connection.recv() for name, connection in sides.items()}
        for _ in range(repeats):
            for job in jobs["ours"]:
                for name, connection in sides.items():
                    if job in jobs[name]:
                        connection.send(job)
                        found.setdefault(job, {}).setdefault(name, []).append(connection.recv())
    return {
        job: {
            name: Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))
            for name, runs in by_side.items()
        }
        for job, by_side in found.items()
    }


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--sources", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="workers")
    parser.add_argument("--images", type=int, default=512, help="JPEG files")
    parser.add_argument("--width", type=int, default=500, help="of the files, in pixels")
    parser.add_argument("--passes", type=int, default=4, help="passes over them in a run")
    parser.add_argument("--batch", type=int, default=64, help="images a batch")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    if options.images * options.passes < 3 * options.batch:
        # A tenth of each class is for validation, another for the test.
        parser.error(
            f"--images (={options.images}) times --passes (={options.passes}) must be at least "
            f"three times --batch (={options.batch})"
        )
    print(f"{describe_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root, files = Path(folder), encoded(options.images, options.width)
        sources = list(dict.fromkeys(["folder", *options.sources]))
        for source in sources:
            WRITERS[source](root / source, files)
        measured = compare(
            root,
            sources=sources,
            workers=options.workers,
            batch=options.batch,
            passes=options.passes,
            repeats=options.repeats,
        )
    rows = []
    for job, times in measured.items():
        cells = [cell for name in ("ours", "torch") for cell in _cells(times.get(name))]
        ratios: list[Any] = ["", ""]
        if "torch" in times:
            ours, torch = times["ours"], times["torch"]
            ratios = [ours.rate / torch.rate, _ratio(torch.cpu, ours.cpu)]
        rows.append([job, *cells, *ratios])
    one = ["images/s", "CPU, ms", "start, s", "MB"]
    both = [*(f"ours: {one[0]}", *one[1:]), *(f"torch: {one[0]}", *one[1:])]
    print_table(["source, workers", *both, "ours/theirs", "the same by CPU"], rows)
    for count in options.workers:
        exact, draft = (
            measured[f"{source}, {count}"]["ours"] for source in ("folder", "folder draft")
        )
        print(
            f"draft with {count} workers: {draft.rate / exact.rate:.2f} times the images/s, "
            f"{_ratio(exact.cpu, draft.cpu):.2f} by CPU"
        )
    save(
        options.json,
        {
            job: {side: dict(t._asdict()) for side, t in times.items()}
            for job, times in measured.items()
        },
    )
    return 0


def _ratio(one: float, other: float) -> float:
    """Return a ratio; NaN where the second was too short for the clock, whose ticks are 10 ms."""
    return one / other if other else math.nan


def _cells(measured: Measured | None) -> list[str]:
    """Return what a pass took as text."""
    if measured is None:
        return [""] * 4
    rate, cpu = f"{measured.rate:.0f}", f"{1e3 * measured.cpu:.1f}"
    return [rate, cpu, f"{measured.start:.1f}", f"{measured.memory / 1e6:.0f}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
