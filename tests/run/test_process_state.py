"""A training leaves signals, hooks, logging, warnings and settings of the process as they were."""

import dataclasses
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_task import Small, center_crop, quiet_reporter, tiny_task

from resnet_jax.run import (
    FitConfig,
    Identity,
    IdentityError,
    Interrupted,
    NonFiniteLossError,
    RunFolder,
    Sink,
    StopRequest,
    TensorBoard,
    fit,
    processes,
)

CONFIG = FitConfig(epochs=2, batch_size=48, eval_batch_size=64)
HERE = Path(__file__).parents[1]


def process_state():
    """Return all that a library should not change for others."""
    loggers = {"root": logging.root, **logging.root.manager.loggerDict}
    return {
        "hooks": (sys.unraisablehook, sys.excepthook, threading.excepthook, sys.displayhook),
        "streams": (sys.stdout, sys.stderr),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "warnings": ([*warnings.filters], warnings.showwarning),
        "logging": {
            name: ([*logger.handlers], [*logger.filters], logger.level, logger.disabled)
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
        },
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "jax": dict(jax.config.values),
        # Also the generator that older programs use.
        "random": (random.getstate(), np.random.get_state()[1].tobytes()),  # noqa: NPY002
        "folder": Path.cwd(),
        "numpy": np.geterr(),
        # A copy, because reading the entry of the backend may choose one.
        "figures": sys.modules["matplotlib"].rcParams.copy() if "matplotlib" in sys.modules else {},
    }


@pytest.fixture(scope="module")
def task():
    return tiny_task(model=Small(), prepare=center_crop)


@pytest.fixture(scope="module", autouse=True)
def _imported(task, tmp_path_factory):
    """Train once, so that all packages are imported, which may log and warn in their own ways."""
    run(task, tmp_path_factory.mktemp("first"))


class Act(Sink):
    """Does something at the second step of a run."""

    def __init__(self, action):
        self.action = action

    def log(self, event):
        if event["event"] == "step" and event["step"] % 3 == 2:
            self.action()


def run(task, path, action=lambda: None, *, resume=False, config=CONFIG, **options):
    sinks = [TensorBoard(path), Act(action)]
    folder = RunFolder(path, resume=resume)
    return fit(task, config, folder=folder, sinks=sinks, reporter=quiet_reporter(), **options)


def diverge(logits, labels):
    return jnp.full(len(labels), jnp.nan)


def send(*signals):
    for number in signals:
        os.kill(os.getpid(), number)
        time.sleep(0.1)  # Two that wait for a busy machine would be one.


ENDS = {
    "done": (None, {}),
    "not finite": (NonFiniteLossError, {"loss_fn": diverge}),
    "stopped": (Interrupted, {"action": lambda: send(signal.SIGTERM)}),
    "stopped twice": (KeyboardInterrupt, {"action": lambda: send(signal.SIGINT, signal.SIGINT)}),
    "failed": (ZeroDivisionError, {"action": lambda: 1 / 0}),
}


@pytest.mark.parametrize("end", ENDS)
def test_everything_is_as_before(task, tmp_path, end):
    error, options = ENDS[end]
    changed = dataclasses.replace(task, loss_fn=options.pop("loss_fn", task.loss_fn))
    before = process_state()
    if error is None:
        run(changed, tmp_path)
        with pytest.raises(IdentityError):
            run(changed, tmp_path, resume=True, identity=Identity({"lr": 2}))
    else:
        with pytest.raises(error):
            run(changed, tmp_path, **options)
    assert process_state() == before


def test_everything_is_as_before_after_two_threads(task, tmp_path):
    """Each is inside of `fit` while the other one is, and one of them fails."""
    before, both = process_state(), threading.Barrier(2, timeout=300)
    ended = []

    def train(name, action):
        try:
            run(task, tmp_path / name, lambda: (both.wait(), action()), config=one_epoch)
        except ZeroDivisionError:
            ended.append(name)

    one_epoch = dataclasses.replace(CONFIG, epochs=1)
    threads = [
        threading.Thread(target=train, args=("one", lambda: None)),
        threading.Thread(target=train, args=("two", lambda: 1 / 0)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["two"]
    assert process_state() == before


@pytest.fixture
def _own_hook(monkeypatch):
    """Let the test replace the hook of the process."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)


@pytest.mark.usefixtures("_own_hook")
def test_what_others_change_meanwhile_stays(task, tmp_path):
    """A hook over that of the training still works when the training has ended, and the next."""
    told, under = [], []

    def install():
        under.append(sys.unraisablehook)

        def hook(unraisable):
            told.append(unraisable)
            under[-1](unraisable)

        sys.unraisablehook = hook

    before = []
    sys.unraisablehook = before.append
    one_epoch = dataclasses.replace(CONFIG, epochs=1)
    run(task, tmp_path / "one", install, config=one_epoch)
    hook = sys.unraisablehook
    run(task, tmp_path / "two", config=one_epoch)
    assert sys.unraisablehook is hook
    hook(SimpleError())
    assert len(told) == len(before) == 1


class SimpleError:
    """Stands for what `sys.unraisablehook` gets."""

    exc_value = RuntimeError("another error")


def test_a_process_without_others_keeps_its_settings():
    before = process_state()
    processes.initialize()
    assert process_state() == before


CODE = """
import signal, os, sys, time
import jax
jax.config.update("jax_platforms", "cpu")
from tiny_task import Small, center_crop, quiet_reporter, tiny_task
from resnet_jax.run import FitConfig, Sink, StopRequest, fit
class Twice(Sink):
    def log(self, event):
        os.kill(os.getpid(), signal.{first})
        time.sleep(0.5)  # Two that wait for a busy machine would be one.
        os.kill(os.getpid(), signal.{second})
        time.sleep(0.5)
        print("went on", flush=True)
task = tiny_task(model=Small(), prepare=center_crop)
config = FitConfig(epochs=1, batch_size=48, eval_batch_size=64)
try:
    fit(task, config, sinks=[Twice()], reporter=quiet_reporter(), stop={stop})
except KeyboardInterrupt as error:
    print(type(error).__name__, flush=True)
print("still here", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize(
    ("first", "second", "stop", "code", "output"),
    [
        ("SIGINT", "SIGINT", "None", 0, "KeyboardInterrupt\nstill here True\n"),
        ("SIGTERM", "SIGINT", "None", 0, "KeyboardInterrupt\nstill here True\n"),
        ("SIGINT", "SIGTERM", "None", -signal.SIGTERM, ""),
        ("SIGINT", "SIGINT", "StopRequest(second_kills=True)", -signal.SIGINT, ""),
        ("SIGTERM", "SIGTERM", "StopRequest(second_kills=True)", -signal.SIGTERM, ""),
    ],
)
def test_a_second_signal(first, second, stop, code, output):
    """It does what it did before the training, or ends the process where that is asked for."""
    process = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first, second=second, stop=stop)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (code, output), process.stderr


def test_a_request_can_be_made_again():
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with StopRequest() as request:
            send(signal.SIGINT)
            assert request.signum == signal.SIGINT
            assert signal.getsignal(signal.SIGINT) is before
        assert signal.getsignal(signal.SIGINT) is before
