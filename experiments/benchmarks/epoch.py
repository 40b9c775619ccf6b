"""Images a second over a whole epoch, evaluation included: ours and torch's.

    python -m experiments.benchmarks.epoch
    python -m experiments.benchmarks.epoch --dataset fashion_mnist --archive DIR --images 6000

An epoch trains on all full batches with random crops, then evaluates the training images and the
test images, starting from uint8 arrays: what the training loop does, without compilation. Torch
prepares its images with Pillow, one by one. An image counts each time it goes through the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.storage import expand_user

from .command_line import CommandLine
from .harness import compare, describe_machine, exit_code, new_file, print_table, save

RESIZE, CROP = 36, 32
DATASETS = ("digits", "fashion_mnist")


def _arrays(dataset: str, archive: Path | None, images: int) -> tuple[Any, Any, Any]:
    """Return the data set, and its first training and test images."""
    from resnet_jax.data import Arrays, load_dataset

    data = load_dataset(dataset, archive=archive)

    def first(arrays: Any) -> Arrays:
        return Arrays(arrays.images[:images], arrays.labels[:images])

    return data, first(data.train), first(data.test)


def resident_epoch(
    model: Any,
    train: Any,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    batch: int,
    evaluated: Sequence[Any] = (),
) -> Callable[[], Any]:
    """Build an epoch in JAX on arrays that are whole on the first device.

    Args:
        model: The network, a Flax module.
        train: The arrays to train on.
        mean: The mean of each channel.
        std: The standard deviation of each channel.
        batch: Images a step.
        evaluated: The arrays to evaluate after training.
    """
    import jax

    from resnet_jax.data import Transform, epoch_permutation
    from resnet_jax.run import Resident
    from resnet_jax.training import (
        Engine,
        create_state,
        epoch_order,
        eval_order,
        make_eval_step,
        make_optimizer,
        make_train_step,
        zero_totals,
    )

    source = train.images.shape[1:3]
    transform = Transform(source=source, resize=RESIZE, crop=CROP, mean=mean, std=std)
    engine = Engine.create("jit", devices=jax.devices()[:1])
    tx = make_optimizer(0.01)
    shape = (1, CROP, CROP, train.images.shape[-1])
    state = engine.replicate(create_state(model, tx, jax.random.key(0), shape))
    step = make_train_step(
        model, tx, engine=engine, prepare=lambda x, y, keys: (transform.random(x, keys), y)
    )
    evaluate = make_eval_step(
        model, engine=engine, prepare=lambda x, y, keys: (transform.center(x), y)
    )
    key, epochs = engine.share(jax.random.key(1)), 0
    examples = Resident(train, engine)
    sources = [
        (examples if arrays is train else Resident(arrays, engine), len(arrays.labels))
        for arrays in evaluated
    ]

    def epoch() -> None:
        nonlocal state, epochs
        permutation = epoch_permutation(jax.random.key(2), epochs, len(train.labels))
        for of_step in examples.batches(epoch_order(permutation, batch)):
            state, _ = step(state, of_step, key)
        for source, count in sources:
            totals = engine.replicate(zero_totals())
            for plan in source.plan(*eval_order(count, batch)):
                totals = evaluate(state.variables, plan, totals, key)
            jax.block_until_ready(totals)
        jax.block_until_ready(state)
        epochs += 1

    return epoch


def our_jobs(
    *, variant: str, dataset: str, archive: Path | None, images: int, batch: int
) -> dict[str, Callable[[], Any]]:
    """Build our epoch."""
    from resnet_jax.models import create_model

    data, train, test = _arrays(dataset, archive, images)
    epoch = resident_epoch(
        create_model(variant, 10),
        train,
        mean=data.mean,
        std=data.std,
        batch=batch,
        evaluated=(train, test),
    )
    return {"epoch": epoch}


def torch_jobs(
    *, variant: str, layout: str, dataset: str, archive: Path | None, images: int, batch: int
) -> dict[str, Callable[[], Any]]:
    """Build torch's epoch."""
    import torch

    from .torch_side import TorchTrainer, pillow_batch

    data, train, test = _arrays(dataset, archive, images)
    trainer = TorchTrainer(variant, layout, channels=train.images.shape[-1])
    rng = np.random.default_rng(0)

    def prepare(pixels: np.ndarray, resize: int) -> Any:
        options: dict[str, Any] = {"mean": data.mean, "std": data.std, "rng": rng}
        return trainer.images(pillow_batch(pixels, resize=resize, crop=CROP, **options))

    def epoch() -> None:
        order = rng.permutation(len(train.labels))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            labels = torch.from_numpy(train.labels[rows]).long()
            trainer.train(prepare(train.images[rows], RESIZE), labels)
        for arrays in (train, test):
            correct = 0
            for start in range(0, len(arrays.labels), batch):
                end = start + batch
                logits = trainer.logits(prepare(arrays.images[start:end], RESIZE))
                labels = torch.from_numpy(arrays.labels[start:end])
                correct += int((logits.argmax(1) == labels).sum())

    return {"epoch": epoch}


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--network", default="resnet34")
    parser.add_argument("--dataset", choices=DATASETS, default="digits")
    parser.add_argument("--archive", type=expand_user, help="where the data set's files are")
    parser.add_argument("--images", type=int, default=2000, help="of each part, at most")
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each side")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    print(f"{describe_machine()}\n", flush=True)
    common = {
        "variant": options.network,
        "dataset": options.dataset,
        "archive": options.archive,
        "images": options.images,
        "batch": options.batch,
    }
    _, train, test = _arrays(options.dataset, options.archive, options.images)
    count = len(train.labels) // options.batch * options.batch
    count += len(train.labels) + len(test.labels)
    times = compare(
        {
            "ours": (our_jobs, common),
            "torch NCHW": (torch_jobs, {"layout": "NCHW", **common}),
            "torch channels_last": (torch_jobs, {"layout": "channels_last", **common}),
        },
        repeats=options.repeats,
    )["epoch"]
    own = times["ours"].seconds(options.clock)
    rows = []
    for side, summary in times.items():
        seconds = summary.seconds(options.clock)
        rows.append([side, seconds, f"{count / seconds:.0f}", seconds / own])
    print_table(["side", "seconds an epoch", "images/s", "its time/ours"], rows)
    save(options.json, {side: asdict(summary) for side, summary in times.items()})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
