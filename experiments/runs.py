"""List run folders: what each trained, how far it came, its accuracies and its size on the disk.

    python -m experiments.runs
    python -m experiments.runs runs/finetune --json

A run is running; finished, with a report; resumable, by the same command and --resume; or stopped
before its first checkpoint. The accuracy of the validation is that of the best epoch, and the one
of the test that of the last epoch's weights. Folders without a run, and runs with a file that
cannot be read, are named below the table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from resnet_jax.run import RunError, RunFolder
from resnet_jax.storage import dumps, one_line, printable

from . import cli
from .run_log import RunLog, read_any_run
from .tables import output_console, print_table

_DEEPEST = 4
"""Levels of folders in which runs are looked for."""
_HEADINGS = ("run", "network", "data", "state", "epochs", "valid.", "test", "size", "changed")


@dataclass(frozen=True)
class Options:
    """What to list."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """Folder of run folders, at any depth up to 4, or a run folder."""
    json: bool = False
    """Print JSON: a list with an object for each folder."""


@dataclass(frozen=True)
class RunSummary:
    """A row of the list.

    Attributes:
        path: the folder.
        state: running, finished, resumable or stopped; damaged, or none for a folder without a
            run.
        reason: what is wrong with a damaged run, or with a folder that holds none.
        variant: name of the network.
        dataset: name of the data set.
        epochs: epochs that were finished.
        epochs_planned: epochs that the run was to have.
        best_valid_accuracy: of the best epoch, as a fraction.
        test_accuracy: of the last epoch's weights, as a fraction.
        bytes: size of all files.
        changed: time of the last change, in UTC.
    """

    path: str
    state: str
    reason: str | None = None
    variant: str | None = None
    dataset: str | None = None
    epochs: int | None = None
    epochs_planned: int | None = None
    best_valid_accuracy: float | None = None
    test_accuracy: float | None = None
    bytes: int = 0
    changed: str | None = None


def find_runs(folder: Path) -> Iterator[RunSummary]:
    """Yield the runs in a folder in alphabetical order, and the folders that hold none.

    Args:
        folder: a folder of run folders, or a run folder.

    Raises:
        FileNotFoundError: if it does not exist.
        NotADirectoryError: if it is a file.
    """
    if RunFolder(folder).has_run:
        yield summarise(folder)
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from _search(path, 1)


def _search(folder: Path, depth: int) -> Iterator[RunSummary]:
    """Yield the runs in a folder inside the one that was named, or say that it holds none."""
    try:
        if RunFolder(folder).has_run:
            yield summarise(folder)
            return
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        yield RunSummary(str(folder), "none", f"cannot be read: {error.strerror}")
        return
    found = [run for path in inside if depth < _DEEPEST for run in _search(path, depth + 1)]
    if any(run.state != "none" for run in found):
        yield from found
    else:
        size, changed = _measure(folder)
        yield RunSummary(str(folder), "none", "holds no run", bytes=size, changed=changed)


def summarise(path: Path) -> RunSummary:
    """Return what a run folder says of its run; nothing in it is changed.

    Args:
        path: the folder.
    """
    size, changed = _measure(path)
    try:
        run = read_any_run(path, path.name)
        return RunSummary(
            str(path),
            _state(RunFolder(path), run),
            variant=run.config.get("variant"),
            dataset=run.config.get("dataset"),
            epochs=len(run.epochs),
            epochs_planned=run.config.get("epochs"),
            best_valid_accuracy=max(
                (epoch["valid_accuracy"] / 100 for epoch in run.epochs), default=None
            ),
            test_accuracy=run.report.get("test_accuracy"),
            bytes=size,
            changed=changed,
        )
    except (RunError, OSError) as error:
        return RunSummary(str(path), "damaged", one_line(error), bytes=size, changed=changed)


def _state(folder: RunFolder, run: RunLog) -> str:
    """Return whether a run is going on, and else how far it came."""
    if folder.is_in_use:
        return "running"
    if run.report:
        return "finished"
    return "resumable" if folder.checkpoints.steps else "stopped"


def _measure(folder: Path) -> tuple[int, str | None]:
    """Return the size of all files in a folder in bytes, and when one changed last."""
    size, newest = 0, 0.0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(parent, name).lstat()
            except OSError:  # a running process may have removed it
                continue
            # The lock is opened by whoever asks whether the folder is in use.
            size += status.st_size
            newest = max(newest, status.st_mtime if not name.startswith(".") else 0.0)
    changed = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds") if newest else None
    return size, changed


def _rows(runs: Sequence[RunSummary]) -> list[list[str]]:
    """Return the cells of the table, the headings first."""
    rows = [list(_HEADINGS)]
    for run in runs:
        changed = datetime.fromisoformat(run.changed).astimezone() if run.changed else None
        cells = (
            run.path,
            run.variant or "–",
            run.dataset or "–",
            run.state,
            f"{run.epochs}/{'?' if run.epochs_planned is None else run.epochs_planned}",
            _percent(run.best_valid_accuracy),
            _percent(run.test_accuracy),
            f"{run.bytes / 1e6:,.1f} MB",
            "–" if changed is None else f"{changed:%Y-%m-%d}",
        )
        rows.append(list(map(printable, cells)))
    return rows


def _percent(fraction: float | None) -> str:
    """Return a fraction as a cell in percent; a dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.2f}%"


def show(runs: Sequence[RunSummary], console: Console) -> None:
    """Print the table, and the folders that it leaves out.

    Args:
        runs: what `find_runs` has found.
        console: where to print.
    """
    whole = [run for run in runs if run.reason is None]
    if whole:
        print_table(console, _rows(whole), left=4)
    else:
        console.print("No runs")
    for run in runs:
        if run.reason is not None:
            kind = "Damaged run" if run.state == "damaged" else "No run"
            console.print(Text(printable(f"{kind}: {run.path}: {run.reason}")), soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, see `exit_code`."""

    def work() -> int:
        options = cli.parse(Options, argv, description=__doc__)
        if not options.folder.is_dir():
            state = "is a file" if options.folder.exists() else "does not exist"
            raise ValueError(
                f"`folder` (={options.folder}) {state}; name a folder of run folders, which "
                "recipes make at --run-dir"
            )
        runs = list(find_runs(options.folder))
        if options.json:
            print(dumps([asdict(run) for run in runs], indent=2))
        else:
            show(runs, output_console())
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
