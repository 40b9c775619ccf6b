"""Compare the tutorial's recipe with a one-cycle one: the same network, images and epochs.

A narrow ResNet-18 with the CIFAR stem on Fashion-MNIST at its own 28 pixels, three seeds of each
recipe. A run that has a report is not repeated, and one that was stopped is resumed, so that the
command can be given again.

    python -m experiments.compare_recipes --archive /usr/share/datasets/fashion-mnist --epochs 3

After 3 epochs on two CPU cores that had other work, too: tutorial 89.27 ± 0.54 % in 6.7 minutes a
run, onecycle 91.51 ± 0.55 % in 4.6 minutes a run. Three epochs say little of a long training. The
accuracies are of the weights of the last epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from resnet_jax.run import RunError, RunFolder
from resnet_jax.storage import atomic_path, write_json

from . import cli
from .choices import check_choices
from .flat import override
from .outputs import check_new
from .recipe import Recipe
from .train import train as train_recipe

SHARED = override(
    Recipe(),
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
        "onecycle": override(
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
"""The recipes, except for epochs, seed and folders."""

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"onecycle": "modern"})
"""What older comparisons called a recipe, in the names of its run folders."""

if TYPE_CHECKING:
    RecipeName = str
else:
    RecipeName = Literal[tuple(RECIPES)]

ELSEWHERE = "name another folder by --run-dir"
"""What a user can do about a folder that is taken."""

_PLACES = frozenset(("seed", "run_dir", "resume", "archive", "data_dir"))


@dataclass(frozen=True)
class Comparison:
    """What to run."""

    archive: Path | None = None
    """Folder of the four .gz files of Fashion-MNIST; None looks in the data folder and where
    Debian's package puts them."""
    data_dir: Path | None = None
    """Folder for data sets; None takes your cache directory."""
    run_dir: Path = Path("runs/compare_recipes")
    """Folder for a run folder per recipe and seed, comparison.json and comparison.md."""
    recipes: tuple[RecipeName, ...] = tuple(RECIPES)
    """Recipes to compare."""
    seeds: tuple[int, ...] = (123, 124, 125)
    """Seeds of each recipe."""
    epochs: int = SHARED.training.epochs
    """Epochs of each run."""


def compare(
    comparison: Comparison, *, train: Callable[[Recipe], object] = train_recipe
) -> dict[str, Any]:
    """Train what is missing and write the table.

    Args:
        comparison: what to run.
        train: trains a recipe and writes its run folder.

    Returns:
        What `comparison.json` holds.

    Raises:
        ValueError: for an unknown recipe, a folder of other runs, or as `train`.
        FileExistsError: for a folder that holds another comparison.
    """
    check_choices(comparison)
    if not comparison.seeds or not comparison.recipes:
        raise ValueError("`seeds` and `recipes` must name at least one each")
    runs = {
        name: [_run_folder(comparison, name, seed) for seed in comparison.seeds]
        for name in comparison.recipes
    }
    files = [comparison.run_dir / f"comparison.{kind}" for kind in ("json", "md")]
    # The same command again goes on and replaces its own table, but no other.
    check_new(files, option="run_dir", overwrite=_has_runs(comparison.run_dir), advice=ELSEWHERE)
    results = {}
    for name, folders in runs.items():
        reports = [
            _report(comparison, name, seed, folder, train)
            for seed, folder in zip(comparison.seeds, folders, strict=True)
        ]
        results[name] = _summary(reports)
    write_json(files[0], results)
    table = _table(results)
    with atomic_path(files[1]) as temporary:
        temporary.write_text(table, encoding="utf-8")
    print(table, end="")
    return results


def _has_runs(folder: Path) -> bool:
    """Return whether a folder holds runs of this command."""
    names = (*RECIPES, *FORMER_NAMES.values())
    return any(path.is_dir() for name in names for path in folder.glob(f"{name}_*"))


def _run_folder(comparison: Comparison, name: str, seed: int) -> RunFolder:
    """Return the folder of one run.

    Raises:
        RunError: if there is one under a former name instead.
    """
    folder = RunFolder(comparison.run_dir / f"{name}_{seed}")
    former = comparison.run_dir / f"{FORMER_NAMES.get(name, name)}_{seed}"
    if former.is_dir() and not folder.path.exists():
        raise RunError(
            f"{former} is a run of the recipe that is now called {name}; rename it to "
            f"{folder.path}, or name another folder by --run-dir"
        )
    return folder


def _report(
    comparison: Comparison,
    name: str,
    seed: int,
    folder: RunFolder,
    train: Callable[[Recipe], object],
) -> dict[str, Any]:
    """Return the report of a run, which is trained first if it has none.

    Raises:
        RunError: if the folder holds a run of another length.
    """
    report = folder.read_report()
    if report is None:
        train(
            override(
                RECIPES[name],
                archive=comparison.archive,
                data_dir=comparison.data_dir,
                run_dir=folder.path,
                resume=folder.has_run,
                seed=seed,
                epochs=comparison.epochs,
            )
        )
        report = folder.read_report()
    if report is None:
        raise RunError(f"{folder.path} has no report; try the same command again")
    if report["config"]["epochs"] != comparison.epochs:
        raise RunError(
            f"{folder.path} holds a run of {report['config']['epochs']} epochs; `epochs` is "
            f"{comparison.epochs}. Name another folder by --run-dir"
        )
    return report


def _summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the results of one recipe over its seeds."""
    accuracies = [report["test_accuracy"] for report in reports]
    config = reports[0]["config"]
    return {
        "seeds": [report["config"]["seed"] for report in reports],
        "test_accuracy": accuracies,
        "mean": float(np.mean(accuracies)),
        "std": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "best_valid_accuracy": [report["best_valid_accuracy"] for report in reports],
        "training_seconds": [report["training_seconds"] for report in reports],
        "config": {key: value for key, value in config.items() if key not in _PLACES},
    }


def _table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the comparison in Markdown."""
    lines = [
        "| recipe | test accuracy of last epoch, by seed (%) | mean ± std (%) | minutes a run |",
        "| --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        each = ", ".join(f"{100 * accuracy:.2f}" for accuracy in result["test_accuracy"])
        spread = "" if result["std"] is None else f" ± {100 * result['std']:.2f}"
        minutes = np.mean(result["training_seconds"]) / 60
        lines.append(f"| {name} | {each} | {100 * result['mean']:.2f}{spread} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def main(
    argv: Sequence[str] | None = None, *, train: Callable[[Recipe], object] = train_recipe
) -> int:
    """Run the command; return its exit code."""

    def work() -> int:
        comparison = cli.parse(Comparison, argv, description=__doc__)
        with cli.advise_when_stopped("go on with the same command"):
            compare(comparison, train=train)
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
