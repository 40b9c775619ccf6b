"""Time to the initial weights and to the end of the first training step, with and without a cache.

    python -m experiments.benchmarks.compile_time --networks resnet50

Each row is measured in a process of its own, with the libraries imported: compilation and
initialisation of the weights, then compilation and the first step, with a batch of 32 images of 110
pixels in float32. The cache is JAX's persistent one, in a temporary folder; it keeps no program
that calls oneDNN (see `resnet_jax.ops.cpu_lowering`), so set `RESNET_JAX_ONEDNN=0` to measure one
that keeps the step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from .harness import Summary, Worker, describe_machine, exit_code, new_file, print_table, save

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
KINDS = ("cold", "cold, filling a cache", "warm cache")
JOBS = ("initial weights", "first step")


def first_jobs(
    *, variant: str, batch: int, size: int, cache: str | None
) -> dict[str, Callable[[], Any]]:
    """Return the two jobs, to be run once each and in this order."""
    import jax

    from .train_step import our_jobs

    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

    built: dict[str, Callable[[], Any]] = {}

    def initialise() -> None:
        built.update(our_jobs(variant=variant, batch=batch, size=size, jobs=("train step",)))

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

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=list(VARIANTS), default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of an image's side")
    parser.add_argument("--repeats", type=int, default=1, help="processes for each row")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    # No cache but the one that is measured.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    print(f"{describe_machine()}\n", flush=True)
    rows, figures = [], {}
    for variant in options.networks:
        measured = measure(variant, options.batch, options.size, options.repeats)
        figures[variant] = {
            kind: {job: asdict(summary) for job, summary in of_jobs.items()}
            for kind, of_jobs in measured.items()
        }
        cores = os.cpu_count() or 1
        for kind, of_jobs in measured.items():
            cpu = sum(summary.cpu for summary in of_jobs.values()) * cores
            rows.append([variant, kind, *(of_jobs[job].wall for job in JOBS), cpu])
    print_table(["network", "start", *(f"{job}, s" for job in JOBS), "processor s of both"], rows)
    save(options.json, figures)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
