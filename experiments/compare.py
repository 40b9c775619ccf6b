"""Compare runs side by side: a table on the terminal, and their curves in common figures.

    python -m experiments.compare runs/cifar_resnet34 runs/cifar_resnet50 --out runs/comparison

The test accuracies are of the weights of the last epoch and of the best epoch by validation, whose
weights `predict` and `export` use. A run that is not finished is compared by what its log holds so
far.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.text import Text

from resnet_jax.storage import atomic_path, printable, printable_name, write_json

from . import cli
from .outputs import check_new
from .progress import working
from .run_log import RunLog, differences, read_run
from .tables import output_console, print_table

FIGURES = ("loss", "learning_rate", "valid_accuracy")
"""Names of the figures; the last one only if a run has finished an epoch."""


_HEADINGS = (
    *("run", "test, last epoch", "test, best epoch", "valid., best epoch", "best epoch"),
    *("last loss", "time", "images/s"),
)
# An underscore inside a word, and a colon that ends no name of an emoji, stand for themselves.
_MARKUP = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])|:(?=[\w+-]+:)|^[-#+](?=\s|$)")


@dataclass(frozen=True)
class Comparison:
    """What to compare."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, one or more."""
    out: Path | None = None
    """Folder for the figures, comparison.md and comparison.json; None writes nothing."""
    overwrite: bool = False
    """Replace these files if they exist."""


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' last parts, with as many before them as tell them apart.

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


def draw(runs: Sequence[RunLog], out: Path) -> None:
    """Write the figures `loss`, `valid_accuracy` and `learning_rate`.

    Args:
        runs: the runs.
        out: folder for the figures.
    """
    from resnet_jax.evaluation import plot_overlay, running_average, save_figure

    from .figures import averaging_window

    # Runs of other batch sizes compare by epochs, which are known after the first.
    by_epoch = all(run.steps_per_epoch for run in runs)
    xlabel = "Epoch" if by_epoch else "Iteration"

    def across(run: RunLog, iterations: np.ndarray) -> np.ndarray:
        """Return the places on the horizontal axis."""
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
    """Return the cells of the table, the header first."""
    rows = [list(_HEADINGS)]
    for run in runs:
        values = run.summary()
        test = _format(values["test_accuracy"], "{:.2%}") if values["finished"] else "unfinished"
        best_test = _format(values["best_checkpoint_test_accuracy"], "{:.2%}")
        seconds = values["seconds"]
        rows.append(
            [
                printable_name(run.name),
                test,
                best_test,
                _format(values["best_valid_accuracy"], "{:.2%}"),
                f"{_format(values['best_epoch'], '{}')} of {values['epochs']}",
                f"{values['last_loss']:.4f}",
                _format(None if seconds is None else seconds / 60, "{:.1f} min"),
                _format(values["images_per_second"], "{:.0f}"),
            ]
        )
    return rows


def _difference_rows(runs: Sequence[RunLog]) -> list[list[str]]:
    """Return the cells of the table of differences, the header first."""
    rows = [
        [name, *(_format(value, "{}") for value in values)]
        for name, values in differences(runs).items()
    ]
    return [["option", *(printable_name(run.name) for run in runs)], *rows]


def _format(value: Any, pattern: str) -> str:
    """Return a value as a cell; a dash for None."""
    return "–" if value is None else printable(pattern.format(value))


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; nothing in its cells is markup."""
    lines = [[_MARKUP.sub(r"\\\g<0>", cell) for cell in row] for row in rows]
    lines.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def compare(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables; write them and the figures if `out` is given.

    Args:
        comparison: what to compare.
        console: where to print; None takes standard output.

    Raises:
        ValueError: for a folder that holds no run, before anything is written.
        FileExistsError: likewise, if a file exists and must not be replaced.
    """
    if not comparison.runs:
        raise ValueError("`runs` is empty; name at least one run folder")
    out = comparison.out
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"`out` (={out}) is a file; name a folder")
    if out is not None:
        figures = [out / f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")]
        files = (out / "comparison.md", out / "comparison.json", *figures)
        check_new(files, overwrite=comparison.overwrite)
    names = _names(comparison.runs)
    runs = [read_run(folder, name) for folder, name in zip(comparison.runs, names, strict=True)]
    console = console or output_console()
    rows, changed = _rows(runs), _difference_rows(runs)
    print_table(console, rows, title="Runs")
    if len(changed) > 1:
        title = "What differs in their configurations"
        print_table(console, changed, title=title, folds=False)
    if out is None:
        return
    with working("Drawing figures", console=console):
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
    console.print(Text(printable(f"Comparison: {out}")), soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def work() -> int:
        compare(cli.parse(Comparison, argv, description=__doc__))
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
