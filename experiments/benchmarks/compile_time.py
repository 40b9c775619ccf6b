"""Time to the end of the first training step, from random weights on: cold, and with a warm cache.

    python -m experiments.benchmarks.compile_time --networks resnet50

Each figure is of a process of its own, libraries imported: initialisation, compilation and the
first step, batch 32 of 110 pixels, float32. The cache is JAX's persistent one, in a temporary
folder; with it the convolutions are the portable ones (see `resnet_jax.ops.onednn`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .harness import Summary, Worker, describe_machine, print_table, write_json

KINDS = ("cold", "cold, filling a cache", "warm cache")


def first_step_job(
    *, variant: str, batch: int, size: int, cache: str | None
) -> dict[str, Callable[[], Any]]:
    """Everything up to the end of the first step, as one run."""
    import jax

    from .train_step import our_jobs

    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

    def first_step() -> None:
        our_jobs(variant=variant, batch=batch, size=size, jobs=("train step",))["train step"]()

    return {"first step": first_step}


def measure(variant: str, batch: int, size: int, repeats: int) -> dict[str, Summary]:
    """The first step without a cache, filling one, and with it."""
    samples: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for kind in KINDS:
                cache = None if kind == "cold" else folder
                arguments = {"variant": variant, "batch": batch, "size": size, "cache": cache}
                with Worker(first_step_job, **arguments) as worker:
                    samples[kind].append(worker.run("first step"))
    return {kind: Summary.of(done) for kind, done in samples.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    from resnet_jax.models import VARIANTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of an image's side")
    parser.add_argument("--repeats", type=int, default=1, help="processes of each kind")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(argv)
    # Only the folder that is measured.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    print(f"{describe_machine()}\n", flush=True)
    rows, figures = [], {}
    for variant in options.networks:
        measured = measure(variant, options.batch, options.size, options.repeats)
        figures[variant] = {kind: asdict(summary) for kind, summary in measured.items()}
        cores = os.cpu_count() or 1
        for kind, summary in measured.items():
            rows.append([variant, kind, summary.wall, summary.cpu * cores])
    print_table(["network", "first step", "seconds", "processor seconds"], rows)
    write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
