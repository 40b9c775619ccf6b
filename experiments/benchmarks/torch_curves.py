"""Train He et al.'s ResNet for CIFAR in plain torch: same recipe, images and split as ours.

    python -m experiments.cifar_resnet20 --epochs 12 --run-dir runs/ours
    python -m experiments.benchmarks.torch_curves --epochs 12 --run-dir runs/torch
    python -m experiments.compare runs/ours runs/torch --out runs/both

It takes the options of `experiments.cifar_resnet20` as far as they choose the data, the depth, the
epochs, the batch, the seed, the optimizer's numbers and the milestones, and refuses all others.
Network, initialisation, augmentation, optimizer and schedule are torch's, written as one would
write them there; weights, order and augmentation are drawn by torch, so that two runs differ as two
seeds do. The run folder has the log and the report that `experiments.compare` reads, and the
weights as `weights.pt`; it cannot be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import torch
from torch import nn
from torch.nn import functional

from resnet_jax.data import Arrays, Dataset
from resnet_jax.run import JsonLines, Reporter, RunFolder, RunStart
from resnet_jax.storage import atomic_path

from .. import cli
from ..cifar_resnet20 import CONFIG
from ..flat import flatten, override
from ..recipe import Recipe, parse
from .torch_cifar import Batches, CifarResNet

BLOCKS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}
"""Blocks of each of the three stages."""

DEFAULTS = override(
    CONFIG, run_dir=Path("runs/torch_resnet20"), train_accuracy="running", dtype="float32"
)
"""The recipe's defaults; the training accuracy is of the steps as they went."""

_HONOURED = frozenset(
    (
        *("preset", "variant", "run_dir", "log_every"),
        *("dataset", "archive", "data_dir", "image_cache", "test_part"),
        *("epochs", "batch_size", "eval_batch_size", "seed"),
        *("lr", "momentum", "weight_decay", "milestones", "gamma"),
    )
)


def accuracy(network: nn.Module, batches: Batches) -> float:
    """Return the share of the images that are classified rightly.

    Args:
        network: the network, which is left in evaluation mode.
        batches: the images.
    """
    network.eval()
    with torch.inference_mode():
        right = sum(
            int((network(images).argmax(1) == labels).sum()) for images, labels in batches.test()
        )
    return right / len(batches)


def check(job: Recipe) -> None:
    """Raise unless this program honours all options.

    Raises:
        ValueError: naming an option that it does not.
    """
    job.check()
    chosen, defaults = flatten(job), flatten(DEFAULTS)
    for name, value in chosen.items():
        if value != defaults[name] and name not in _HONOURED:
            raise ValueError(
                f"`{name}` (={value}) is not an option of the torch side; leave it out"
            )
    if job.model.variant not in BLOCKS:
        raise ValueError(f"`variant` (={job.model.variant!r}) must be one of {', '.join(BLOCKS)}")
    epochs = job.training.epochs
    if any(share * epochs % 1 for share in job.schedule.milestones):
        raise ValueError(
            f"`milestones` (={job.schedule.milestones}) must be whole epochs of `epochs` "
            f"(={epochs}), for torch's schedule goes by epochs"
        )


def train(job: Recipe, reporter: Reporter | None = None) -> dict[str, Any]:
    """Train, evaluate, and write the run folder.

    Args:
        job: the options.
        reporter: what prints; None prints to standard output.

    Returns:
        The report: accuracies as fractions, times in seconds.

    Raises:
        ValueError: before anything is written, for options that cannot work.
    """
    check(job)
    reporter = Reporter() if reporter is None else reporter
    with job.run.build() as folder:
        job = job.resolve()
        task, dataset, facts = job.build()
        if not isinstance(task.train, Arrays) or dataset.train.images.shape[-1] != 3:
            raise ValueError("the images must be colour images that fit into memory")
        folder.begin(flatten(job), data=facts)
        report = _train(job, dataset, task.train, task.valid, folder, reporter)
        folder.write_report(report)
        reporter.line(f"Log, report and weights: {folder.path}")
    return report


def _train(
    job: Recipe,
    dataset: Dataset,
    train: Any,
    valid: Any,
    folder: RunFolder,
    reporter: Reporter,
) -> dict[str, Any]:
    """Train and evaluate; return the report."""
    test: Any = dataset.test
    torch.manual_seed(job.training.seed)
    options, epochs = job.optimizer, job.training.epochs
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = CifarResNet(BLOCKS[job.model.variant], len(dataset.class_names)).to(device)
    kernels = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim == 1]
    optimizer = torch.optim.SGD(
        [
            {"params": kernels, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=options.lr or 0.1,
        momentum=options.momentum,
    )
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimizer,
        [round(share * epochs) for share in job.schedule.milestones],
        gamma=job.schedule.gamma,
    )
    batches = Batches(train, dataset, job.training.batch_size, device)
    valid_batches = Batches(valid, dataset, job.evaluation.eval_batch_size, device)
    log, start, step, best = JsonLines(folder.log_path), time.perf_counter(), 0, -1.0
    log.begin(RunStart(folder.name, folder.run_id))
    history: list[float] = []
    for epoch in range(1, epochs + 1):
        network.train()
        (rate,) = {group["lr"] for group in optimizer.param_groups}
        right = 0
        for batch, (images, labels) in enumerate(batches.train()):
            logits = network(images)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            right += int((logits.argmax(1) == labels).sum())
            if batch % job.run.log_every == 0:
                reporter.line(f"epoch {epoch}/{epochs}, batch {batch}: loss {loss.item():.4f}")
            log.log(
                {"event": "step", "step": step, "epoch": epoch, "loss": loss.item()}
                | {"learning_rate": rate}
            )
        scheduler.step()
        history.append(accuracy(network, valid_batches))
        log.log(
            {"event": "epoch", "step": step, "epoch": epoch, "learning_rate": rate}
            | {"train_accuracy": 100 * right / (batches.steps * job.training.batch_size)}
            | {"valid_accuracy": 100 * history[-1], "seconds": time.perf_counter() - start}
        )
        log.flush()
        reporter.line(f"epoch {epoch}/{epochs}: validation accuracy {100 * history[-1]:.2f}%")
        if history[-1] > best:
            best, best_epoch = history[-1], epoch
            best_weights = {name: value.clone() for name, value in network.state_dict().items()}
    seconds = time.perf_counter() - start
    with atomic_path(folder.path / "weights.pt") as temporary:
        torch.save(network.state_dict(), temporary)
    test_batches = Batches(test, dataset, job.evaluation.eval_batch_size, device)
    last = accuracy(network, test_batches)
    network.load_state_dict(best_weights)
    chosen = accuracy(network, test_batches)
    reporter.line(
        f"Test accuracy {100 * last:.2f}% of the last epoch, {100 * chosen:.2f}% of the "
        f"best ({best_epoch})"
    )
    return {
        "test_accuracy": last,
        "best_checkpoint": {
            "epoch": best_epoch,
            "valid_accuracy": best,
            "test_accuracy": chosen,
        },
        "valid_accuracy": history,
        "best_epoch": best_epoch,
        "best_valid_accuracy": best,
        "training_seconds": seconds,
        "images_per_second": step * job.training.batch_size / seconds,
        "environment": {"torch": torch.__version__, "device": _name(device)},
        "config": flatten(job),
    }


def _name(device: torch.device) -> str:
    """Return the name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    # JAX draws the split alone, and is not to take memory of torch's GPU.
    jax.config.update("jax_platforms", "cpu")

    def work() -> int:
        train(parse(DEFAULTS, argv, description=__doc__ or ""))
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
