"""Read what a run folder says of its run, finished or not, to compare it with others."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from resnet_jax.run import RunError, RunFolder
from resnet_jax.storage import to_plain

from .flat import default_options
from .recipe import Recipe

# Where a run is kept, and how it was started, is no difference between runs.
_PLACES = frozenset(("run_dir", "resume", "preset"))

# The types of what is used of each file; the file may have more.
_CONFIG = MappingProxyType({"variant": str, "dataset": str, "epochs": int})
_STEP = MappingProxyType({"loss": float, "learning_rate": float})
_EPOCH = MappingProxyType({"step": int, "epoch": int, "valid_accuracy": float, "seconds": float})
_REPORT = MappingProxyType(
    {
        "test_accuracy": float,
        "images_per_second": float,
        "valid_accuracy": list,
        "best_checkpoint": dict,
    }
)
_BEST = MappingProxyType({"step": int, "test_accuracy": float})
_WORDS = MappingProxyType(
    {
        str: "a text",
        int: "a whole number",
        float: "a finite number",
        list: "a list",
        dict: "an object",
    }
)


@dataclass(frozen=True)
class RunLog:
    """What a run folder says of its run.

    Attributes:
        name: its name in tables and legends.
        config: the flat options.
        steps: the log's events of steps.
        epochs: the log's events of epochs.
        report: the report of the evaluation; empty for a run that is not finished.
    """

    name: str
    config: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any]

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps per epoch; None for a run that has not finished an epoch."""
        return self.epochs[0]["step"] if self.epochs else None

    def summary(self) -> dict[str, Any]:
        """Return the row of the table: accuracies as fractions, times in seconds.

        `test_accuracy` is of the last epoch's weights, `best_checkpoint_test_accuracy` of the best
        epoch's; a report from before reports had it leaves the latter None.
        """
        accuracies = [epoch["valid_accuracy"] / 100 for epoch in self.epochs]
        return {
            "epochs": len(self.epochs),
            "finished": bool(self.report),
            "test_accuracy": self.report.get("test_accuracy"),
            "best_checkpoint_test_accuracy": _best_test_accuracy(self.report),
            "best_valid_accuracy": max(accuracies, default=None),
            "best_epoch": int(np.argmax(accuracies)) + 1 if accuracies else None,
            "last_loss": self.steps[-1]["loss"],
            "seconds": self.epochs[-1]["seconds"] if self.epochs else None,
            "images_per_second": self.report.get("images_per_second"),
        }


def _best_test_accuracy(report: Mapping[str, Any]) -> float | None:
    """Return the test accuracy of the best epoch's weights; None if the report has none."""
    return (report.get("best_checkpoint") or {}).get("test_accuracy")


def read_run(path: Path, name: str) -> RunLog:
    """Read the folder of a run that has begun to train.

    Args:
        path: the folder.
        name: the run's name in tables and legends.

    Raises:
        RunError: if it holds no run, or one without a step, or if one of its files is damaged.
    """
    folder = RunFolder(path)
    run = _read(path, name, folder.read_config(), list(folder.read_log()))
    if not run.steps:
        raise RunError(f"`runs` (={path}) has not made a step yet; there is nothing to compare")
    return run


def read_any_run(path: Path, name: str) -> RunLog:
    """Read the folder of a run, which may not have begun to train.

    Args:
        path: the folder.
        name: the run's name in tables and legends.

    Raises:
        RunError: if it holds no run, or if one of its files is damaged.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    return _read(path, name, config, list(folder.read_log()) if folder.log_path.exists() else [])


def read_report(folder: RunFolder) -> Mapping[str, Any]:
    """Read the report of a run; empty for a run that was not evaluated.

    Args:
        folder: the run folder.

    Raises:
        RunError: if the file is damaged, or an entry that is used here has another type.
    """
    report, path = folder.read_report() or {}, folder.report_path
    _check_types(report, _REPORT, path)
    _check_types(report.get("best_checkpoint") or {}, _BEST, path, "'best_checkpoint'")
    return report


def _read(
    path: Path, name: str, config: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> RunLog:
    """Return what a run folder says, once its options and its log have been read."""
    folder = RunFolder(path)
    _check_types(config, _CONFIG, folder.config_path)
    return RunLog(
        name=name,
        config=config,
        steps=_events(folder, events, "step", _STEP),
        epochs=_events(folder, events, "epoch", _EPOCH),
        report=_current_report(folder, events),
    )


def _events(
    folder: RunFolder, events: Sequence[Mapping[str, Any]], kind: str, types: Mapping[str, type]
) -> list[Mapping[str, Any]]:
    """Return the events of one kind.

    Raises:
        RunError: if one of them lacks an entry, or has one of another type.
    """
    found = [event for event in events if event.get("event") == kind]
    for number, event in enumerate(found, start=1):
        for name in types:
            if name not in event:
                raise RunError(f"{folder.log_path}: {kind} {number} lacks {name!r}")
        _check_types(event, types, folder.log_path, f"{kind} {number}", optional=False)
    return found


def _check_types(
    values: Mapping[str, Any],
    types: Mapping[str, type],
    path: Path,
    owner: str = "",
    *,
    optional: bool = True,
) -> None:
    """Raise a `RunError` unless the entries of a file have their types.

    Args:
        values: the entries.
        types: the types, by the names of the entries.
        path: the file, for the message.
        owner: what in it has the entries, for the message; empty for the file itself.
        optional: whether an entry may be None, or be missing.
    """
    for name, kind in types.items():
        value = values.get(name)
        if not (_has_type(value, kind) or (optional and value is None)):
            whose = f" of {owner}" if owner else ""
            raise RunError(f"{path}: {name!r}{whose} is {reprlib.repr(value)}, not {_WORDS[kind]}")


def _has_type(value: Any, kind: type) -> bool:
    """Return whether a JSON value has a type; a whole number is a `float`, too, if that holds it.

    JSON may have numbers that are read as infinite, such as `1e999`.
    """
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and not isinstance(value, bool)


def _current_report(folder: RunFolder, events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the report; empty if there is none or the run was resumed after it."""
    report = read_report(folder)
    epochs = sum(event.get("event") == "epoch" for event in events)
    return report if len(report.get("valid_accuracy") or ()) == epochs else {}


def differences(runs: Sequence[RunLog]) -> dict[str, list[Any]]:
    """Return the options that differ: the value of each run by the option's name.

    An option that a run has not saved, because it is older than the option, has its default.

    Args:
        runs: the runs.
    """
    defaults = to_plain(default_options(Recipe), "options")
    names = dict.fromkeys(name for run in runs for name in run.config if name not in _PLACES)
    values = {name: [run.config.get(name, defaults.get(name)) for run in runs] for name in names}
    return {name: found for name, found in values.items() if any(one != found[0] for one in found)}
