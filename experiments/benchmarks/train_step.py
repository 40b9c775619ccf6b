"""Training step and forward pass: ours, torch's (eager) and plain Flax's, side by side.

    python -m experiments.benchmarks.train_step
    python -m experiments.benchmarks.train_step --networks resnet50 --clock cpu --json steps.json
    python -m experiments.benchmarks.train_step --scaling

All sides run in float32 on the CPU. Torch runs in both of its memory layouts, and the better one
counts. A ratio of times is the other side's over ours: above 1, ours is faster. Memory is the peak
of the process's resident set during a step, above its size before the network was built, with the
libraries loaded; its ratio is ours over torch's. With `--scaling`, the step is measured at four
batch sizes and at four image sizes: if the cost is linear, the time for an image, or for a pixel,
stays the same. On a shared machine `--clock cpu` is steadier: processor seconds divided by the
number of processors. Torch must be installed (`pip install -e '.[test]'`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from resnet_jax.ops import cpu_lowering

from .command_line import CommandLine
from .harness import (
    Build,
    Summary,
    compare,
    describe_machine,
    exit_code,
    new_file,
    print_table,
    save,
)

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
JOBS = ("train step", "forward")
BATCHES = (8, 16, 32, 64)
SIZES = (64, 96, 128, 160)


def our_jobs(**arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build our training step and forward pass on random images."""
    from .jax_bench import step_jobs

    return step_jobs(plain=False, **arguments)


def torch_jobs(**arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build torch's training step and forward pass."""
    from .torch_bench import step_jobs

    return step_jobs(**arguments)


def flax_jobs(**arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build plain Flax's training step and forward pass."""
    from .jax_bench import step_jobs

    return step_jobs(plain=True, **arguments)


def sides(variant: str, **arguments: Any) -> dict[str, tuple[Build, dict[str, Any]]]:
    """Return all sides of a network."""
    common = {"variant": variant, **arguments}
    return {
        "ours": (our_jobs, common),
        "torch NCHW": (torch_jobs, {"layout": "NCHW", **common}),
        "torch channels_last": (torch_jobs, {"layout": "channels_last", **common}),
        "plain Flax": (flax_jobs, common),
    }


def best_torch(times: dict[str, Summary], clock: str) -> Summary:
    """Return torch's times in the better of its layouts."""
    layouts = [summary for name, summary in times.items() if name.startswith("torch")]
    return min(layouts, key=lambda summary: summary.seconds(clock))


def measure_networks(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print the main table, one network at a time."""
    figures = []
    header = ["network", "job", "ours ms", "torch ms", "torch/ours", "Flax/ours"]
    for variant in options.networks:
        rows = []
        chosen = sides(variant, batch=options.batch, size=options.size, jobs=JOBS)
        for side in options.without:
            chosen.pop(side)
        measured = compare(chosen, repeats=options.repeats, budget=60)
        for job, times in measured.items():
            ours, torch = times["ours"], best_torch(times, options.clock)
            own = ours.seconds(options.clock)
            plain = times.get("plain Flax")
            rows.append(
                [
                    variant,
                    job,
                    1e3 * own,
                    1e3 * torch.seconds(options.clock),
                    torch.seconds(options.clock) / own,
                    plain.seconds(options.clock) / own if plain else "-",
                    f"{ours.peak / 1e6:.0f}",
                    f"{torch.peak / 1e6:.0f}",
                    ours.peak / torch.peak,
                ]
            )
            of_sides = {name: asdict(summary) for name, summary in times.items()}
            figures.append({"network": variant, "job": job, "sides": of_sides})
        print_table([*header, "ours MB", "torch MB", "ours/torch"], rows)
    return figures


def measure_scaling(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print the step's time by batch size and by image size."""
    rows, figures = [], []
    points = [(batch, options.size) for batch in BATCHES] + [(options.batch, s) for s in SIZES]
    for variant in options.networks:
        for batch, size in points:
            arguments = {"variant": variant, "batch": batch, "size": size, "jobs": JOBS[:1]}
            measured = compare({"ours": (our_jobs, arguments)}, repeats=options.repeats)
            ours = measured["train step"]["ours"]
            seconds = ours.seconds(options.clock)
            per_pixel = 1e9 * seconds / batch / size**2
            rows.append([variant, batch, size, 1e3 * seconds, 1e3 * seconds / batch, per_pixel])
            point = {"network": variant, "batch": batch, "size": size}
            figures.append({**point, "ours": asdict(ours)})
    print_table(["network", "batch", "pixels", "ms", "ms an image", "ns a pixel"], rows)
    return figures


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of an image's side")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each job of each side")
    parser.add_argument("--without", nargs="+", default=[], help="sides to leave out")
    parser.add_argument("--scaling", action="store_true", help="by batch size and image size")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    convolutions = str(cpu_lowering())
    print(f"{describe_machine()}\nConvolutions of ours: {convolutions}\n", flush=True)
    figures = measure_scaling(options) if options.scaling else measure_networks(options)
    save(options.json, {"clock": options.clock, "convolutions": convolutions, "rows": figures})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
