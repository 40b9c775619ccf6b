"""The child process that tries oneDNN's calls: what it answers, and that it harms nobody."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnet_jax.ops.conv.probe import ask

YES = """
import json, os, sys, time
with open({log!r}, "a") as log:
    log.write("asked\\n")
time.sleep({seconds})
print(json.dumps({{"works": True, "reason": "it does"}}))
"""


def program(log: Path, seconds: float = 0) -> str:
    return YES.format(log=str(log), seconds=seconds)


def lines(log: Path) -> int:
    return len(log.read_text().splitlines())


def test_the_answer_is_kept(tmp_path):
    log = tmp_path / "log"
    assert [ask(tmp_path, program=program(log)) for _ in range(2)] == [(True, "it does")] * 2
    assert lines(log) == 1
    # Another trial is another question.
    ask(tmp_path, program=program(log) + "\n")
    assert lines(log) == 2


@pytest.mark.parametrize(
    ("crash", "reason"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ],
)
def test_a_child_that_crashes_harms_nobody(tmp_path, monkeypatch, crash, reason):
    monkeypatch.chdir(tmp_path)  # for core files
    program = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {crash}"
    assert ask(tmp_path, program=program) == (False, f"a trial was ended by {reason}")
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text())["works"] is False


def test_wrong_numbers_are_an_answer(tmp_path):
    program = """print('{"works": false, "reason": "other numbers"}')"""
    assert ask(tmp_path, program=program) == (False, "other numbers")
    assert list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise ImportError('no such module')", "a trial failed: ImportError: no such module"),
        ("print('hello')", "a trial failed: no answer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "a trial was ended by SIGTERM"),
        ("import time; time.sleep(60)", "a trial took more than 0.5 s"),
    ],
)
def test_what_says_nothing_about_the_calls_is_not_kept(tmp_path, program, reason):
    limit_seconds = 0.5 if "sleep" in program else 60
    assert ask(tmp_path, program=program, limit_seconds=limit_seconds) == (False, reason)
    assert not list(tmp_path.glob("*.json"))


def test_several_that_ask_at_once_start_one_child(tmp_path):
    log = tmp_path / "log"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(tmp_path, program=program(log, 0.5)), range(4)))
    assert answers == [(True, "it does")] * 4
    assert lines(log) == 1


def test_nobody_waits_for_ever_for_another(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        slow = program(tmp_path / "log", 30)
        answers = pool.map(lambda _: ask(tmp_path, program=slow, limit_seconds=1), range(2))
        assert {works for works, _ in answers} == {False}


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_without_a_place_for_answers_nobody_is_asked(tmp_path, folder):
    (tmp_path / "file").write_text("")
    log = tmp_path / "log"
    works, reason = ask(tmp_path / folder, program=program(log))
    assert not works
    assert reason.startswith("no answer can be kept")
    assert not log.exists()


def test_a_damaged_answer_is_asked_for_again(tmp_path):
    log = tmp_path / "log"
    ask(tmp_path, program=program(log))
    (kept,) = tmp_path.glob("*.json")
    kept.write_text('{"works": "perhaps"}')
    assert ask(tmp_path, program=program(log)).works
    assert lines(log) == 2


ALIVE = """
import jax, jax.numpy as jnp
jax.config.update("jax_platforms", "cpu")
from resnet_jax.ops import conv2d, cpu_lowering
kernel = jnp.zeros((3, 3, 2, 2))
text = jax.jit(conv2d).lower(jnp.zeros((1, 4, 4, 2)), kernel).as_text()
print(cpu_lowering().name, "onednn" in text, cpu_lowering().reason)
"""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"RESNET_JAX_ONEDNN": "0"}, "portable False RESNET_JAX_ONEDNN=0"),
        # No trial is made, whatever the folder for caches is.
        ({"RESNET_JAX_ONEDNN": "1"}, "onednn True RESNET_JAX_ONEDNN=1"),
        ({"RESNET_JAX_ONEDNN": "auto"}, "portable False no answer can be kept: "),
    ],
)
def test_a_process_says_what_it_lowers_to(tmp_path, values, expected):
    (tmp_path / "file").write_text("")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file")} | values
    done = subprocess.run(
        [sys.executable, "-c", ALIVE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(expected)


def test_an_unknown_setting_is_named(monkeypatch):
    from resnet_jax.ops import cpu_lowering

    monkeypatch.setenv("RESNET_JAX_ONEDNN", "perhaps")
    with pytest.raises(ValueError, match=r"`RESNET_JAX_ONEDNN` \(=perhaps\) must be auto, 0 or 1"):
        cpu_lowering()
