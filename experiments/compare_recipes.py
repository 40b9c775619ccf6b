"""The tutorial's recipe against a recipe of today: the same network, images and epochs.

A narrow ResNet-18 with the CIFAR stem on Fashion-MNIST at its own 28 pixels, three seeds of each
recipe. Runs that have a report are not repeated, and one that was stopped is gone on with, so that
the command can be given again.

    python -m experiments.compare_recipes --archive /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tyro

from resnet_jax.run import Interrupted, NonFiniteLossError
from resnet_jax.storage import write_json

from .recipe import CONFIG_FILE, Recipe, run

SHARED = Recipe(
    variant="resnet18",
    stem="cifar",
    base_planes=8,
    dataset="fashion_mnist",
    resize=28,
    crop=28,
    epochs=1,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "tutorial": SHARED,
        "modern": replace(
            SHARED,
            batch_size=128,
            lr=0.1,
            nesterov=True,
            weight_decay=5e-4,
            label_smoothing=0.1,
            augment=("flip",),
            schedule="onecycle",
            warmup_epochs=0.5,
            ema_decay=0.99,
            flip_test=True,
        ),
    }
)
"""What is compared; all but the epochs, the seed and the folders."""


@dataclass(frozen=True)
class Comparison:
    """What to run."""

    archive: Path | None = None
    """Folder of the data set's files; None downloads them."""
    data_dir: Path | None = None
    """Where prepared data sets are kept; None is in your cache directory."""
    run_dir: Path = Path("runs/compare_recipes")
    """Gets a run folder for each recipe and seed, comparison.json and comparison.md."""
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Which of them."""
    seeds: tuple[int, ...] = (123, 124, 125)
    """Of each recipe."""
    epochs: int = SHARED.epochs
    """Of each run."""


def compare(comparison: Comparison) -> dict[str, Any]:
    """Trains what is missing and writes the table.

    Args:
        comparison: what to run.

    Returns:
        What ``comparison.json`` holds.

    Raises:
        ValueError: for an unknown recipe, or as ``experiments.recipe.run``.
    """
    for name in comparison.recipes:
        if name not in RECIPES:
            raise ValueError(f"`recipes` (={name!r}) must be among {', '.join(RECIPES)}")
    if not comparison.seeds or not comparison.recipes:
        raise ValueError("`seeds` and `recipes` must name at least one each")
    results = {
        name: _summary([_report(comparison, name, seed) for seed in comparison.seeds])
        for name in comparison.recipes
    }
    write_json(comparison.run_dir / "comparison.json", results)
    table = _table(results)
    (comparison.run_dir / "comparison.md").write_text(table, encoding="utf-8")
    print(table, end="")
    return results


def _report(comparison: Comparison, name: str, seed: int) -> dict[str, Any]:
    folder = comparison.run_dir / f"{name}_{seed}"
    path = folder / "report.json"
    if not path.is_file():
        config = replace(
            RECIPES[name],
            archive=comparison.archive,
            data_dir=comparison.data_dir,
            run_dir=folder,
            resume=(folder / CONFIG_FILE).is_file(),
            seed=seed,
            epochs=comparison.epochs,
        )
        run(config)
    report = json.loads(path.read_bytes())
    if report["config"]["epochs"] != comparison.epochs:
        raise ValueError(
            f"{folder} holds a run of {report['config']['epochs']} epochs; `epochs` is "
            f"{comparison.epochs}. Name another folder by --run-dir"
        )
    return report


def _summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    accuracies = [report["test_accuracy"] for report in reports]
    config = {
        key: value
        for key, value in reports[0]["config"].items()
        if key not in ("seed", "run_dir", "resume", "archive", "data_dir")
    }
    return {
        "seeds": [report["config"]["seed"] for report in reports],
        "test_accuracy": accuracies,
        "mean": float(np.mean(accuracies)),
        "std": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "best_valid_accuracy": [report["best_valid_accuracy"] for report in reports],
        "training_seconds": [report["training_seconds"] for report in reports],
        "config": config,
    }


def _table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The comparison in Markdown."""
    lines = [
        "| recipe | test accuracy, by seed (%) | mean ± std (%) | minutes a run |",
        "| --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        each = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result["test_accuracy"])
        spread = "" if result["std"] is None else f" ± {100 * result['std']:.2f}"
        minutes = np.mean(result["training_seconds"]) / 60
        lines.append(f"| {name} | {each} | {100 * result['mean']:.2f}{spread} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, 2 for an error, or 128 and the signal's number."""
    try:
        compare(tyro.cli(Comparison, args=argv, description=__doc__))
    except (ValueError, OSError, NonFiniteLossError) as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"{str(stop) or 'stopped by SIGINT'}; go on with the same command", file=sys.stderr)
        return stop.exit_code if isinstance(stop, Interrupted) else 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
