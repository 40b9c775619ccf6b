"""A real run in processes of their own, to be killed; and one so small that it needs no process."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import jax
from board import numbers, shown
from flax import linen as nn
from rich.console import Console
from times import without_times
from tiny_task import assert_trees_equal, digits, quiet_reporter, tiny_task

from resnet_jax.run import FitConfig, Reporter, RunFolder, TensorBoard, fit, read_log

ROOT = Path(__file__).parents[2]
TINY_RUN = Path(__file__).with_name("tiny_run.py")
TIMEOUT = 600
"""Seconds for a process to do something, on a machine that is busy with other things."""


class Linear(nn.Module):
    """One dense layer: a run with it is all loop and disk."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, images, train=False):
        del train
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


def scaled(images, labels, keys):
    """Make the brightness random, so that random keys matter."""
    factor = 1 + jax.vmap(jax.random.uniform)(keys)
    return images * (factor[:, None, None, None] / 512), labels


def small_task():
    return tiny_task(
        model=Linear(),
        train=digits(130),
        valid=digits(70, first=130),
        prepare=scaled,
        prepare_valid=scaled,
    )


CONFIG = FitConfig(epochs=3, batch_size=16, eval_batch_size=32, log_every=2, checkpoint_every=3)
"""Eight steps an epoch, 24 in all; checkpoints of steps 3, 6, 8, 9, 12, 15, 16, …"""


class At(Reporter):
    """Does something when a line is printed for the nth time, or the bar of a title is shown."""

    def __init__(self, moment, action):
        super().__init__(Console(file=io.StringIO(), soft_wrap=True))
        self.moment, self.action, self.lines = moment, action, 0

    def line(self, text):
        self.lines += 1
        super().line(text)
        if self.lines == self.moment:
            self.action()

    def bar(self, title, total, images_per_step):
        if title == self.moment:
            self.action()
        return super().bar(title, total, images_per_step)


@dataclasses.dataclass
class Runner:
    """Calls `fit` on the small task, with TensorBoard; what it prints is in `output`."""

    task: object
    output: str = ""

    def __call__(self, path, *, task=None, config=CONFIG, resume=False, reporter=None, **options):
        reporter = reporter or quiet_reporter()
        if path is not None:
            options = {
                "folder": RunFolder(path, resume=resume),
                "sinks": [TensorBoard(path)],
                **options,
            }
        try:
            return fit(task or self.task, config, reporter=reporter, **options)
        finally:
            self.output = reporter.console.file.getvalue()


def log_of(folder):
    """Return the log without its times, which are different in every run.

    TensorBoard shows the same numbers, each of them once.
    """
    events = list(read_log(folder / "metrics.jsonl"))
    assert shown(folder) == numbers(events)
    return without_times(events)


def assert_same(folder, result, whole):
    """Fail unless parameters, history and log are those of the uninterrupted run, to the bit."""
    expected, expected_folder = whole
    assert result.history == expected.history
    assert result.learning_rates == expected.learning_rates
    assert (result.best_epoch, result.best_step) == (expected.best_epoch, expected.best_step)
    assert_trees_equal(result.state, expected.state)
    assert log_of(folder) == log_of(expected_folder)


def contents(folder):
    """Return all files below a folder, except for the lock, with their bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def start_tiny_run(run_dir, *arguments, figures=None, compile_cache=True, **options):
    """Start `tiny_run.py`; lines of its output can be read from the process.

    With `figures` it trains one dense layer, for speed, and appends memory, handles and times
    to that file after each epoch.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "PYTHONUNBUFFERED": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_ENABLE_COMPILATION_CACHE": str(compile_cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TINY_RUN_FIGURES": "" if figures is None else str(figures),
    }
    return subprocess.Popen(
        [sys.executable, str(TINY_RUN), "--run-dir", str(run_dir), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
