"""Runs side by side: a table on the terminal, curves over each other in a folder.

    python -m experiments.compare runs/cifar_resnet34 runs/cifar_resnet50 --out runs/comparison

A run that is not finished is compared by what its log holds so far.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from resnet_jax.evaluation import plot_overlay, save_figure
from resnet_jax.evaluation.figures.curves import running_average
from resnet_jax.run import read_log
from resnet_jax.storage import atomic_path, write_json

from .evaluate import averaging_window
from .runs import read_json

# Where a run is kept, and how it was started, is no difference between runs.
_PLACES = frozenset(("run_dir", "resume", "preset"))


@dataclass(frozen=True)
class Comparison:
    """What to compare."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, one or more."""
    out: Path | None = None
    """Gets the figures, comparison.md and comparison.json; without it they are not written."""


@dataclass(frozen=True)
class RunLog:
    """What a run folder says of its run.

    Attributes:
        name: in tables and legends.
        config: the recipe.
        steps: the log's events of steps.
        epochs: the log's events of epochs.
        report: of the evaluation; empty for a run that is not finished.
    """

    name: str
    config: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any]

    @property
    def steps_per_epoch(self) -> int | None:
        """None for a run that has not finished an epoch."""
        return self.epochs[0]["step"] if self.epochs else None

    def summary(self) -> dict[str, Any]:
        """The row of the table: accuracies as fractions, times in seconds."""
        accuracies = [epoch["valid_accuracy"] / 100 for epoch in self.epochs]
        return {
            "epochs": len(self.epochs),
            "finished": bool(self.report),
            "test_accuracy": self.report.get("test_accuracy"),
            "best_valid_accuracy": max(accuracies, default=None),
            "best_epoch": int(np.argmax(accuracies)) + 1 if accuracies else None,
            "last_loss": self.steps[-1]["loss"],
            "seconds": self.epochs[-1]["seconds"] if self.epochs else None,
            "images_per_second": self.report.get("images_per_second"),
        }


def read_run(folder: Path, name: str) -> RunLog:
    """Reads a run folder.

    Raises:
        ValueError: if it holds no run, or one without a step, or a file of it is damaged.
    """
    if not folder.is_dir():
        raise ValueError(f"`runs` (={folder}) is not a folder; name run folders")
    for file in ("config.json", "metrics.jsonl"):
        if not (folder / file).is_file():
            raise ValueError(f"`runs` (={folder}) is not a run folder: it has no {file}")
    events = list(read_log(folder / "metrics.jsonl"))
    run = RunLog(
        name=name,
        config=read_json(folder / "config.json"),
        steps=[event for event in events if event.get("event") == "step"],
        epochs=[event for event in events if event.get("event") == "epoch"],
        report=_current_report(folder, events),
    )
    if not run.steps:
        raise ValueError(f"`runs` (={folder}) has not made a step yet; there is nothing to compare")
    return run


def _current_report(folder: Path, events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The report, unless the run was resumed after it and is training again."""
    path = folder / "report.json"
    if not path.is_file():
        return {}
    report = read_json(path)
    epochs = sum(event.get("event") == "epoch" for event in events)
    return report if len(report.get("valid_accuracy", ())) == epochs else {}


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' last parts, with as many of those before as tell them apart.

    Raises:
        ValueError: if a folder is named twice.
    """
    paths = [folder.resolve().parts for folder in folders]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise ValueError(f"`runs` names {folders[number]} twice; name each run once")
    for length in range(1, max(map(len, paths), default=0) + 1):
        names = ["/".join(path[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return []


def differences(runs: Sequence[RunLog]) -> dict[str, list[Any]]:
    """What differs between the configurations: the value of each run by the option's name."""
    names = dict.fromkeys(name for run in runs for name in run.config if name not in _PLACES)
    values = {name: [run.config.get(name) for run in runs] for name in names}
    return {name: found for name, found in values.items() if any(one != found[0] for one in found)}


def draw(runs: Sequence[RunLog], out: Path) -> None:
    """Writes the figures ``loss``, ``valid_accuracy`` and ``learning_rate``."""
    # Runs of other batch sizes compare by epochs, which are known after the first.
    by_epoch = all(run.steps_per_epoch for run in runs)
    xlabel = "Epoch" if by_epoch else "Iteration"

    def across(run: RunLog, iterations: np.ndarray) -> np.ndarray:
        return iterations / (run.steps_per_epoch or 1 if by_epoch else 1)

    losses, rates, accuracies = {}, {}, {}
    for run in runs:
        values = np.array([step["loss"] for step in run.steps])
        middles, average = running_average(values, averaging_window(len(values)))
        losses[run.name] = across(run, middles), average
        rate = [step["learning_rate"] for step in run.steps]
        rates[run.name] = across(run, np.arange(len(rate))), rate
        if run.epochs:
            accuracies[run.name] = (
                [epoch["epoch"] for epoch in run.epochs],
                [epoch["valid_accuracy"] for epoch in run.epochs],
            )
    figures = {
        "loss": plot_overlay(losses, xlabel=xlabel, ylabel="Loss, running average"),
        "learning_rate": plot_overlay(
            rates,
            xlabel=xlabel,
            ylabel="Learning rate",
            log_y=all(min(rate) > 0 for _, rate in rates.values()),
            steps=True,
        ),
    }
    if accuracies:
        figures["valid_accuracy"] = plot_overlay(
            accuracies, xlabel="Epoch", ylabel="Validation accuracy (%)"
        )
    for name, figure in figures.items():
        save_figure(figure, out / name)


def _rows(runs: Sequence[RunLog]) -> list[list[str]]:
    """The table's cells, the header first."""
    rows = [["run", "test", "best valid.", "epoch", "epochs", "last loss", "time", "images/s"]]
    for run in runs:
        values = run.summary()
        test = _format(values["test_accuracy"], "{:.2%}") if values["finished"] else "unfinished"
        seconds = values["seconds"]
        rows.append(
            [
                run.name,
                test,
                _format(values["best_valid_accuracy"], "{:.2%}"),
                _format(values["best_epoch"], "{}"),
                str(values["epochs"]),
                f"{values['last_loss']:.4f}",
                _format(None if seconds is None else seconds / 60, "{:.1f} min"),
                _format(values["images_per_second"], "{:.0f}"),
            ]
        )
    return rows


def _difference_rows(runs: Sequence[RunLog]) -> list[list[str]]:
    """The options that differ, the header first."""
    rows = [
        [name, *(_format(value, "{}") for value in values)]
        for name, values in differences(runs).items()
    ]
    return [["option", *(run.name for run in runs)], *rows]


def _format(value: Any, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


def _table(rows: Sequence[Sequence[str]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def compare(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the tables, and writes them and the figures where ``out`` is given.

    Args:
        comparison: what to compare.
        console: where to print; None is standard output.

    Raises:
        ValueError: for a folder that holds no run, before anything is written.
    """
    if not comparison.runs:
        raise ValueError("`runs` is empty; name at least one run folder")
    out = comparison.out
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"`out` (={out}) is a file; name a folder")
    names = _names(comparison.runs)
    runs = [read_run(folder, name) for folder, name in zip(comparison.runs, names, strict=True)]
    console = console or Console()
    rows, changed = _rows(runs), _difference_rows(runs)
    console.print(_table(rows, "Runs"))
    if len(changed) > 1:
        console.print(_table(changed, "What differs in their configurations"))
    if out is None:
        return
    draw(runs, out)
    text = f"# Runs\n\n{_markdown(rows)}"
    if len(changed) > 1:
        text += f"\n# Differences\n\n{_markdown(changed)}"
    with atomic_path(out / "comparison.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(
        out / "comparison.json",
        {"runs": {run.name: run.summary() for run in runs}, "differences": differences(runs)},
    )
    console.print(f"Comparison: {out}", markup=False, highlight=False, soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, 2 for what the user can mend."""
    comparison = tyro.cli(Comparison, args=argv, description=__doc__)
    try:
        compare(comparison)
    except (ValueError, OSError, KeyError) as error:
        reason = f"the log lacks {error}" if isinstance(error, KeyError) else str(error)
        print(f"error: {' '.join(reason.splitlines())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
