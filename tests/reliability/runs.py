"""A real run in processes of their own, to be killed; and one so small that it needs no process."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits

import resnet_jax as rj
from resnet_jax.data import Arrays
from resnet_jax.run import (
    FitConfig,
    Reporter,
    Task,
    event_files,
    fit,
    read_event_file,
    read_log,
)
from resnet_jax.run.sinks.event_file import SCALARS
from resnet_jax.training import make_optimizer

from .tiny_run import Linear

ROOT = Path(__file__).parents[2]
TINY_RUN = Path(__file__).with_name("tiny_run.py")
TIMEOUT = 600
"""Seconds for a process to do something, on a machine that is busy with other things."""


def scaled(images, labels, keys):
    """Random brightness, so that random keys matter."""
    factor = 1 + jax.vmap(jax.random.uniform)(keys)
    return images * (factor[:, None, None, None] / 512), labels


def small_task():
    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.int32)
    return Task(
        model=Linear(),
        tx=make_optimizer(0.05),
        controller=rj.ReduceLROnPlateau(patience=0),
        train=Arrays(images[:130], labels[:130]),
        valid=Arrays(images[130:200], labels[130:200]),
        prepare=scaled,
        prepare_valid=scaled,
    )


CONFIG = FitConfig(epochs=3, batch_size=16, eval_batch_size=32, log_every=2, checkpoint_every=3)
"""Eight steps an epoch, 24 in all; checkpoints of steps 3, 6, 8, 9, 12, 15, 16, …"""


@dataclasses.dataclass
class Runner:
    """Calls ``fit`` on the small task; what it prints is in ``output``."""

    task: Task
    output: str = ""

    def __call__(self, run_dir, *, task=None, config=CONFIG, console=None, **options):
        file = io.StringIO()
        reporter = Reporter(console or Console(file=file, soft_wrap=True))
        try:
            return fit(task or self.task, config, run_dir=run_dir, reporter=reporter, **options)
        finally:
            self.output = file.getvalue()


def log_of(folder):
    """The log without what is different in every run: seconds.

    The event file beside it holds the same numbers, each of them once.
    """
    events = list(read_log(folder / "metrics.jsonl"))
    (path,) = event_files(folder)
    assert [scalar[:3] for scalar in read_event_file(path)] == [
        (tag, event["step"], float(np.float32(event[name])))
        for event in events
        for name, tag in SCALARS[event["event"]].items()
    ]
    for event in events:
        event.pop("seconds", None)
    return events


def assert_same(folder, result, whole):
    """Parameters, history and log are those of the uninterrupted run, to the bit."""
    expected, expected_folder = whole
    assert result.history == expected.history
    assert result.learning_rates == expected.learning_rates
    assert (result.best_epoch, result.best_step) == (expected.best_epoch, expected.best_step)
    leaves = [jax.tree.leaves(state) for state in (result.state, expected.state)]
    for one, two in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, two)
    assert log_of(folder) == log_of(expected_folder)


def contents(folder):
    """All files below a folder, the lock aside, with their bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def start_tiny_run(run_dir, *arguments, figures=None, compile_cache=True, **options):
    """Starts ``tiny_run.py``; lines of its output can be read from the process.

    With ``figures`` it trains one dense layer, for speed, and appends memory, handles and times
    to that file after each epoch.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
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
