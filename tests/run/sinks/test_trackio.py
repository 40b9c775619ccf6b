"""trackio itself, in a folder of its own: a run that is killed, resumed and read back."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

COMMON = """
import json, os, signal, sys, time
from pathlib import Path
from matplotlib.figure import Figure
from resnet_jax.run.sinks import RunStart, SinkGroup, make_sink

def step(n):
    return {"event": "step", "step": n, "epoch": 1 + n // 51, "loss": 1 / n, "learning_rate": 0.1}

EPOCH = {"event": "epoch", "step": 50, "epoch": 1, "train_accuracy": 90.0, "valid_accuracy": 80.0}
TEST = {"event": "test", "step": 70, "test_accuracy": 70.0}
EVENTS = [*map(step, range(1, 51)), EPOCH, *map(step, range(51, 71)), TEST]
sink = make_sink("trackio", Path())

def start(position):
    events = EVENTS[:position]
    last = events[-1]["step"] if events else 0
    return RunStart("digits", "ab12", {"epochs": 2}, last, events)
"""

# Killed when 54 events and a figure are stored, and the sender may not have seen the other events.
KILLED = """
import trackio

def stored():
    fragments = Path(os.environ["TRACKIO_DIR"]).rglob("*.jsonl")
    waiting = sum(len(path.read_bytes().splitlines()) for path in fragments)
    return waiting + len(trackio.SQLiteStorage.get_logs("resnet-jax", "digits-ab12"))

sink.begin(start(0))
for event in EVENTS[:54]:
    sink.log(event)
sink.figure("confusion", Figure(figsize=(2, 1)), 53)
while stored() < 55:
    time.sleep(0.05)
for event in EVENTS[54:58]:
    sink.log(event)
os.kill(os.getpid(), signal.SIGKILL)
"""

RESUMED = """
with SinkGroup([sink]):
    sink.begin(start(int(sys.argv[1])))
    for event in EVENTS[int(sys.argv[1]):]:
        sink.log(event)
"""

READ = """
import json, trackio
(run,) = trackio.Api().runs("resnet-jax")
rows = trackio.SQLiteStorage.get_logs("resnet-jax", run.name, run_id=run.id)
print(json.dumps({"name": run.name, "epochs": run.config["epochs"], "rows": rows}, default=str))
"""


@pytest.fixture
def python(tmp_path):
    """Runs a program that finds trackio's data in a folder of the test, and no network."""

    def run(program, *arguments, **environ):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
            env={
                **os.environ,
                "TRACKIO_DIR": str(tmp_path / "trackio"),
                "HF_HOME": str(tmp_path / "huggingface"),
                "HF_HUB_OFFLINE": "1",
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def read(python):
    done = python(READ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def curve(rows, name):
    return [row["global_step"] for row in rows if name in row]


# Resumed within an epoch, from before the evaluation of an epoch, and from where some of the log is
# not stored.
@pytest.mark.parametrize(("position", "mode"), [(40, "sqlite"), (50, "jsonl"), (57, "sqlite")])
def test_every_number_once_after_kill_9(python, position, mode):
    killed = python(COMMON + KILLED, TRACKIO_STORAGE_MODE=mode)
    assert killed.returncode == -9, killed.stderr
    if mode == "sqlite":
        assert curve(read(python)["rows"], "loss")[:53] == [*range(1, 54)]
    resumed = python(COMMON + RESUMED, position, TRACKIO_STORAGE_MODE="sqlite")
    assert resumed.returncode == 0, resumed.stderr
    run = read(python)
    assert (run["name"], run["epochs"]) == ("digits-ab12", 2)
    assert curve(run["rows"], "loss") == [*range(1, 71)]
    assert curve(run["rows"], "accuracy/train") == [50]
    assert curve(run["rows"], "accuracy/test") == [70]
    assert len([row for row in run["rows"] if "confusion" in row]) == 1
    again = python(COMMON + RESUMED, 72)
    assert again.returncode == 0, again.stderr
    assert read(python)["rows"] == run["rows"]


@pytest.mark.parametrize("variable", ["TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"])
def test_nothing_is_sent_elsewhere(python, variable):
    refused = python(COMMON + RESUMED, 0, **{variable: "somewhere/else"})
    assert refused.returncode == 1
    assert f"ValueError: `track` (=trackio) keeps runs on this computer: unset {variable}" in (
        refused.stderr
    )
