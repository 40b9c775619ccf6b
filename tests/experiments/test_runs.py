"""The list of run folders: states, accuracies and sizes, and folders that are none or damaged."""

import contextlib
import io
import json
import os
import threading
from pathlib import Path

import pytest
from rich.console import Console
from tiny_runs import CONFIG, write_run

from experiments.flat import flatten, override
from experiments.runs import find_runs, main, show
from resnet_jax.run import JsonLines, RunFolder

EPOCHS = (61.0, 75.5, 70.25)


def begin(folder, epochs=EPOCHS):
    """The folder of a run that was stopped after some epochs, without a checkpoint."""
    with RunFolder(folder) as run:
        run.begin(flatten(override(CONFIG, epochs=5)))
        log = JsonLines(run.log_path)
        for number, accuracy in enumerate(epochs, 1):
            step = {"step": 10 * number, "epoch": number}
            log.log({"event": "step", **step, "loss": 1.0, "learning_rate": 0.1})
            log.log({"event": "epoch", **step, "valid_accuracy": accuracy, "seconds": 2.0})
        log.flush()
    return run


def finish(run, epochs=EPOCHS):
    run.write_report({"valid_accuracy": epochs, "test_accuracy": 0.7125})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of every state, beside a folder of something else and two that are damaged."""
    folder = tmp_path_factory.mktemp("runs")
    finish(begin(folder / "finished"))
    write_run(folder / "group" / "resumable")
    begin(folder / "group" / "stopped", epochs=())
    finish(begin(folder / "resumed"), EPOCHS[:2])  # the report is of two epochs
    (folder / "photos" / "cats").mkdir(parents=True)
    (folder / "photos" / "cats" / "1.png").write_bytes(bytes(1000))
    begin(folder / "damaged").config_path.write_text("{")
    begin(folder / "odd").log_path.write_text('{"event": "epoch", "valid_accuracy": "x"}\n')
    return folder


def listed(folder, capsys):
    assert main([str(folder), "--json"]) == 0
    return {run["path"]: run for run in json.loads(capsys.readouterr().out)}


def test_states(folder, capsys):
    runs = listed(folder, capsys)
    assert {os.path.relpath(path, folder): run["state"] for path, run in runs.items()} == {
        "finished": "finished",
        "group/resumable": "resumable",
        "group/stopped": "stopped",
        "resumed": "stopped",
        "photos": "none",
        "damaged": "damaged",
        "odd": "damaged",
    }


def test_what_is_said_of_a_run(folder, capsys):
    path = folder / "finished"
    run = listed(path, capsys)[str(path)]
    size = sum(file.stat().st_size for file in path.iterdir())
    assert run.pop("changed").endswith("+00:00")
    assert run == {
        "path": str(path),
        "state": "finished",
        "reason": None,
        "variant": "resnet18",
        "dataset": "digits",
        "epochs": 3,
        "epochs_planned": 5,
        "best_valid_accuracy": 0.755,
        "test_accuracy": 0.7125,
        "bytes": size,
    }


def test_a_run_that_goes_on(tmp_path, capsys):
    """Asking does not stop it, nor keep it from its folder."""
    path = tmp_path / "run"
    begin(path, epochs=())
    entered, leave = threading.Event(), threading.Event()

    def train():
        with RunFolder(path, resume=True):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        assert entered.wait(60)
        assert listed(tmp_path, capsys)[str(path)]["state"] == "running"
    finally:
        leave.set()
        thread.join()
    assert listed(tmp_path, capsys)[str(path)]["state"] == "stopped"


def test_nothing_is_changed(folder, capsys):
    def contents():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}

    before = contents()
    listed(folder, capsys)
    assert contents() == before


def test_the_table(folder, capsys):
    assert main([str(folder)]) == 0
    text = capsys.readouterr().out
    (line,) = (line for line in text.splitlines() if " finished " in line)
    cells = line.split()
    assert cells[1:7] == ["resnet18", "digits", "finished", "3/5", "75.50%", "71.25%"]
    assert f"No run: {folder / 'photos'}: holds no run\n" in text
    assert f"Damaged run: {folder / 'damaged'}: " in text
    assert text.count("\nDamaged run: ") == 2


def shown(folder, width):
    file = io.StringIO()
    show(list(find_runs(folder)), Console(file=file, width=width))
    return file.getvalue()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with contextlib.chdir(folder):
        for name in ("cifar_resnet34_quick", "finetune"):
            finish(begin(Path("runs", name)))
        yield Path("runs")


@pytest.mark.parametrize("width", [80, 100, 120])
def test_only_the_path_is_folded(two, width):
    lines = shown(two, width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[-4:] == ["valid.", "test", "size", "changed"]
    for part in ("runs/cifar_re", "runs/finetune"):
        (line,) = (line for line in lines if part in line)
        cells = line.split()
        assert cells[1:8] == ["resnet18", "digits", "finished", "3/5", "75.50%", "71.25%", "0.0"]
        assert len(cells) == 10
    # The rest of a path is all that a further line has.
    others = [line.strip() for line in lines[2:] if "finished" not in line]
    assert "".join(others) in "runs/cifar_resnet34_quick"
    assert bool("".join(others)) is (width == 80)


@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_narrow_terminal_gets_a_block_for_each_run(two, width):
    first, second, end = shown(two, width).split("\n\n")
    assert end == ""
    assert first.splitlines()[:8] == [
        "run: runs/cifar_resnet34_quick",
        "network: resnet18",
        "data: digits",
        "state: finished",
        "epochs: 3/5",
        "valid.: 75.50%",
        "test: 71.25%",
        "size: 0.0 MB",
    ]
    assert second.startswith("run: runs/finetune\n")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.json", '{"epochs": 1e999}', "'epochs' is inf, not a whole number"),
        ("config.json", '{"variant": 3}', "'variant' is 3, not a text"),
        ("report.json", '{"test_accuracy": "1"}', "'test_accuracy' is '1', not a finite number"),
        ("report.json", '{"valid_accuracy": 1}', "'valid_accuracy' is 1, not a list"),
    ],
)
def test_an_entry_of_another_type(tmp_path, capsys, file, text, message):
    path = tmp_path / "run"
    finish(begin(path))
    (path / file).write_text(text)
    run = listed(tmp_path, capsys)[str(path)]
    assert (run["state"], run["reason"]) == ("damaged", f"{path / file}: {message}")


def test_a_folder_without_runs(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "No runs\n"
    assert main([str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(("make", "state"), [(False, "does not exist"), (True, "is a file")])
def test_no_folder(tmp_path, capsys, make, state):
    path = tmp_path / "nothing"
    if make:
        path.touch()
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == (
        f"error: `folder` (={path}) {state}; name a folder of run folders, which recipes make at "
        "--run-dir\n"
    )


def test_names_with_any_bytes(tmp_path, capsys):
    begin(tmp_path / os.fsdecode(b"run-\xff[red]"))
    assert main([str(tmp_path)]) == 0
    assert "[red]" in capsys.readouterr().out.replace("\n", "")
