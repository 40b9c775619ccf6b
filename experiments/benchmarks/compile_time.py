"""Time to the initial weights and to the end of the first training step, with and without a cache.

    python -m experiments.benchmarks.compile_time --networks resnet50
    RESNET_JAX_ONEDNN=0 python -m experiments.benchmarks.compile_time --networks resnet50

Each row is measured in a process of its own, with the libraries imported: compilation and
initialisation of the weights, then compilation and the first step, with a batch of 32 images of 110
pixels in float32. The cache is JAX's persistent one, in a temporary folder. It cannot keep the step
where convolutions call oneDNN (see `resnet_jax.ops.cpu_lowering`), as they do by default where they
can: there a warm cache saves the compilation of the other programs alone. The second command
measures a start without oneDNN, whose step is kept. On a shared machine the processor seconds, of
all threads together, are steadier than the seconds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from resnet_jax.ops import cpu_lowering

from .command_line import CommandLine
from .harness import Summary, Worker, describe_machine, exit_code, new_file, print_table, save

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
KINDS = ("cold", "cold, filling a cache", "warm cache")
JOBS = ("initial weights", "first step")


def first_jobs(
    *, variant: str, batch: int, size: int, cache: str | None
) -> dict[str, Callable[[], Any]]:
    """Return the two jobs, to be run once each and in this order."""
    import jax

    from .jax_bench import step_jobs

    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", cache)

    built: dict[str, Callable[[], Any]] = {}

    def initialise() -> None:
        arguments = {"variant": variant, "batch": batch, "size": size}
        built.update(step_jobs(plain=False, jobs=("train step",), **arguments))

    return dict(zip(JOBS, (initialise, lambda: built["train step"]()), strict=True))


def measure(variant: str, batch: int, size: int, repeats: int) -> dict[str, dict[str, Summary]]:
    """Measure both jobs without a cache, while filling one, and with it."""
    samples: dict[str, dict[str, list[Any]]] = {kind: {job: [] for job in JOBS} for kind in KINDS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for kind in KINDS:
                cache = None if kind == "cold" else folder
                arguments = {"variant": variant, "batch": batch, "size": size, "cache": cache}
                with Worker(first_jobs, **arguments) as worker:
                    for job in JOBS:
                        samples[kind][job].append(worker.run(job))
    return {
        kind: {job: Summary.of(done) for job, done in of_jobs.items()}
        for kind, of_jobs in samples.items()
    }


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    from resnet_jax.models import VARIANTS

    parser = CommandLine(__doc__)
    parser.add_argument("--networks", nargs="+", choices=list(VARIANTS), default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of an image's side")
    parser.add_argument("--repeats", type=int, default=1, help="processes for each row")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    # No cache but the one that is measured.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    convolutions = str(cpu_lowering())
    print(f"{describe_machine()}\nConvolutions: {convolutions}\n", flush=True)
    rows, figures = [], {}
    for variant in options.networks:
        measured = measure(variant, options.batch, options.size, options.repeats)
        figures[variant] = {
            kind: {job: asdict(summary) for job, summary in of_jobs.items()}
            for kind, of_jobs in measured.items()
        }
        cores = os.cpu_count() or 1
        for kind, of_jobs in measured.items():
            cells = ((of_jobs[job].wall, of_jobs[job].cpu * cores) for job in JOBS)
            rows.append([variant, kind, *(cell for pair in cells for cell in pair)])
    columns = (f"{job}, {unit}" for job in JOBS for unit in ("s", "processor s"))
    print_table(["network", "start", *columns], rows)
    save(options.json, {"convolutions": convolutions, "networks": figures})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
