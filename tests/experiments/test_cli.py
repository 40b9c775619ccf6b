"""Exit codes: one line for what a user can mend, and the signals."""

import os
import re
import signal
import threading
from dataclasses import dataclass
from typing import Literal

import pytest

from experiments.cli import advise_when_stopped, exit_code, parse
from resnet_jax.run import Interrupted, NonFiniteLossError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("two\nlines"), 2, "error: two lines"),
        (FileExistsError("there"), 2, "error: there"),
        (ImportError("needs torch"), 2, "error: needs torch"),
        (NonFiniteLossError("NaN"), 2, "error: NaN"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (Interrupted(signal.SIGTERM, "stopped after step 3"), 143, "stopped after step 3"),
    ],
)
def test_exit_codes(error, code, message, capsys):
    def work():
        raise error

    assert exit_code(work) == code
    assert re.fullmatch(message + "\n", capsys.readouterr().err)


def test_the_code_of_the_work(capsys):
    assert [exit_code(lambda code=code: code) for code in (0, 1)] == [0, 1]
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_no_error_of_the_user():
    def work():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exit_code(work)


@pytest.mark.parametrize(("when", "advice"), [(True, "; go on with --resume"), (False, "")])
def test_sigterm_interrupts(when, advice, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with advise_when_stopped("go on with --resume", when=lambda: when):
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert exit_code(work) == 143
    assert capsys.readouterr().err == f"stopped by SIGTERM{advice}\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_of_the_main_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(exit_code(lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]


@dataclass(frozen=True)
class Inner:
    name: Literal["one", "two"] = "one"
    """Name."""


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    """Inner options."""
    count: int = 0
    """Count."""


def test_nested_options_have_flat_names():
    assert parse(Outer, ["--name", "two"], description="") == Outer(Inner("two"))
    default = Outer(Inner("two"), 3)
    assert parse(Outer, [], description="", default=default) == default


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        exit_code(lambda: parse(Outer, ["--help"], description="What it does."))
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "What it does." in text
    assert "--name {one,two}" in text
