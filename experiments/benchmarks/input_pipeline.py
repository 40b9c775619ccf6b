"""Resize, crop and normalise, in images a second: ours on the device, and Pillow with torch.

    python -m experiments.benchmarks.input_pipeline

The images are of 32 pixels in uint8; they are resized to 120 pixels, cropped at random to 110 and
normalised, as the recipes do. Our side is the compiled transform alone (in training it is part of
the step); the other side goes image by image in one process, as a torch `DataLoader` without
workers does. A second table has our whole pipeline with one augmentation each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from .command_line import CommandLine
from .harness import compare, describe_machine, exit_code, new_file, print_table, save

if TYPE_CHECKING:
    from resnet_jax.data import Transform

SOURCE, RESIZE, CROP = 32, 120, 110
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def random_images(count: int) -> np.ndarray:
    """Return reproducible uint8 images `[count, SOURCE, SOURCE, 3]`."""
    shape = (count, SOURCE, SOURCE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def our_transform() -> Transform:
    """Return our transform of these images."""
    from resnet_jax.data import Transform

    return Transform(source=(SOURCE, SOURCE), resize=RESIZE, crop=CROP, mean=MEAN, std=STD)


def our_jobs(*, batches: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Build our transform of each batch size."""
    import jax

    random, key = jax.jit(our_transform().random), jax.random.key(0)

    def job(batch: int) -> Callable[[], Any]:
        images = jax.device_put(random_images(batch))
        return lambda: jax.block_until_ready(random(images, key))

    return {str(batch): job(batch) for batch in batches}


def pipeline_jobs(*, batch: int) -> dict[str, Callable[[], Any]]:
    """Build our pipeline with no augmentation, and with each alone."""
    import jax

    from resnet_jax.data import AUGMENTATIONS, Pipeline, make_augmentation

    images, labels = random_images(batch), np.arange(batch, dtype=np.int32) % 10
    arguments = jax.device_put((images, labels, jax.random.split(jax.random.key(0), batch)))

    def job(name: str | None) -> Callable[[], Any]:
        augmentations = () if name is None else (make_augmentation(name),)
        pipeline = jax.jit(Pipeline(our_transform(), augmentations, num_classes=10).__call__)
        return lambda: jax.block_until_ready(pipeline(*arguments))

    return {"none": job(None), **{name: job(name) for name in AUGMENTATIONS}}


def pillow_jobs(*, batches: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Build the same with Pillow and torch."""
    import torch

    from .torch_side import pillow_batch

    # As in a worker of a DataLoader; for a single image, more threads cost more than they gain.
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def job(batch: int) -> Callable[[], Any]:
        images = random_images(batch)
        options: dict[str, Any] = {"resize": RESIZE, "crop": CROP, "mean": MEAN, "std": STD}
        return lambda: pillow_batch(images, rng=rng, **options)

    return {str(batch): job(batch) for batch in batches}


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 256], help="images")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each side")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    print(f"{describe_machine()}\n", flush=True)
    arguments = {"batches": tuple(options.batches)}
    sides = {"ours": (our_jobs, arguments), "Pillow": (pillow_jobs, arguments)}
    measured = compare(sides, repeats=options.repeats)
    rows = []
    for job, times in measured.items():
        ours, pillow = (times[side].seconds(options.clock) for side in ("ours", "Pillow"))
        rows.append([job, f"{int(job) / ours:.0f}", f"{int(job) / pillow:.0f}", pillow / ours])
    print_table(["batch", "ours, images/s", "Pillow and torch, images/s", "ours/theirs"], rows)
    print(flush=True)
    batch = options.batches[-1]
    pipelines = compare({"ours": (pipeline_jobs, {"batch": batch})}, repeats=options.repeats)
    micros = {
        job: 1e6 * times["ours"].seconds(options.clock) / batch for job, times in pipelines.items()
    }
    print_table(
        ["augmentation", "pipeline, µs an image", "beyond none, µs"],
        [[job, f"{one:.0f}", f"{one - micros['none']:.0f}"] for job, one in micros.items()],
    )
    measured |= pipelines
    figures = {job: {s: asdict(t) for s, t in times.items()} for job, times in measured.items()}
    save(options.json, figures)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
