"""The run folder: who may use it, what is written when, and what is said to those who may not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_task import Small, center_crop, quiet_reporter, tiny_task

from resnet_jax.run import (
    DataFacts,
    FitConfig,
    Identity,
    IdentityError,
    RunError,
    RunFolder,
    RunFolderError,
    Sink,
    fit,
)

CONFIG = {"lr": 0.1, "augment": ["flip"], "run_dir": "run"}
FACTS = DataFacts(("cat", "dog"), 8, (0.5,), (0.25,))


def names(path):
    return sorted(child.name for child in path.iterdir())


def contents(path):
    """Return all files below a folder, except for the lock, with their bytes."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {file: file.read_bytes() for file in files}


def enter(folder):
    with folder:
        pass


def refusal(folder, kind=RunFolderError, action=enter):
    """Return the message, which is one line, of an error that changes nothing."""
    before = contents(folder.path)
    with pytest.raises(kind) as error:
        action(folder)
    message = str(error.value)
    assert "\n" not in message
    assert not message.endswith(".")
    assert contents(folder.path) == before
    return message


def begun(path, **options):
    with RunFolder(path) as folder:
        folder.begin(CONFIG, **options)
    return path


def test_opening_changes_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.path == tmp_path / "run"
    assert folder.checkpoints.steps == []
    assert not folder.has_run
    enter(folder)
    assert names(tmp_path) == []


def test_a_new_run(tmp_path):
    with RunFolder(tmp_path / "deep/run") as folder:
        assert not folder.path.exists()
        folder.begin(CONFIG)
        assert folder.has_run
    assert names(folder.path) == [".lock", "config.json"]
    assert folder.read_config() == CONFIG
    assert folder.read_data() is None
    assert folder.read_report() is None


def test_a_home_folder():
    assert RunFolder("~/run").path == Path.home() / "run"
    with pytest.raises(ValueError, match="no home folder is known for ~nobody-here"):
        RunFolder("~nobody-here/run")


def test_hidden_files_do_not_count(tmp_path):
    """They are the lock, and what a killed process has not finished."""
    for name in (".lock", ".config.json.1f.tmp"):
        (tmp_path / name).write_text("")
    begun(tmp_path)


def test_a_file(tmp_path):
    (tmp_path / "run").write_text("")
    for resume in (False, True):
        message = refusal(RunFolder(tmp_path / "run", resume=resume))
        assert message == f"`run_dir` (={tmp_path / 'run'}) is a file; name a folder"


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "photo.jpg").write_text("")
    assert refusal(RunFolder(tmp_path)) == (
        f"`run_dir` (={tmp_path}) is not empty; go on with it by --resume, or name another folder "
        "by --run-dir"
    )


@pytest.mark.parametrize("place", ["empty", "missing", "full"])
def test_nothing_to_resume(tmp_path, place):
    path = tmp_path / "missing" if place == "missing" else tmp_path
    if place == "full":
        (tmp_path / "photo.jpg").write_text("")
    assert refusal(RunFolder(path, resume=True)) == (
        f"`run_dir` (={path}) holds no run to resume; leave out --resume to start one"
    )


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "checkpoints"])
def test_what_is_a_run_to_resume(tmp_path, name):
    if name == "checkpoints":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("{}\n")
    assert RunFolder(tmp_path).has_run
    enter(RunFolder(tmp_path, resume=True))


OTHER_PROCESS = """
import sys, time
from resnet_jax.run import RunFolder
with RunFolder(sys.argv[1], resume=True):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_run_in_another_process(tmp_path):
    begun(tmp_path)
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        assert refusal(RunFolder(tmp_path, resume=True)) == (
            f"`run_dir` (={tmp_path}) is in use by another run; wait for it to end, or name "
            "another folder"
        )
        other.stdin.close()
        assert other.wait() == 0
    enter(RunFolder(tmp_path, resume=True))


def test_another_run_came_before(tmp_path):
    """Both found the folder empty."""
    with RunFolder(tmp_path) as late:
        begun(tmp_path)
        with pytest.raises(RunFolderError, match="is not empty; go on with it"):
            late.begin(CONFIG)


def test_class_names_that_are_not_utf_8_are_refused_before_anything_is_made(tmp_path):
    data = DataFacts(("cat", "do\udce7"), 8, (0.5,), (0.5,))
    with (
        RunFolder(tmp_path / "run") as folder,
        pytest.raises(ValueError, match=r"data\['class_names'\]\[1\] is 'do\\udce7', which UTF-8"),
    ):
        folder.begin(CONFIG, data=data)
    assert not folder.path.exists()


def test_begin_outside_of_the_context(tmp_path):
    with pytest.raises(RuntimeError, match="enter the run folder as a context before `begin`"):
        RunFolder(tmp_path / "run").begin(CONFIG)
    assert names(tmp_path) == []


def test_begin_twice(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.begin(CONFIG)
        folder.begin({"lr": 0.2})
        folder.begin()
    assert folder.config == folder.read_config() == CONFIG


def test_contexts_inside_each_other(tmp_path):
    """The lock is held, and the folder is not checked again, up to the outer end."""
    folder = RunFolder(tmp_path)
    with folder:
        folder.begin(CONFIG)
        with folder:
            folder.begin()
        with folder:
            pass
        code = "import sys; from resnet_jax.run import RunFolder\n"
        code += "with RunFolder(sys.argv[1], resume=True): pass"
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert "is in use by another run" in other.stderr
    assert "is not empty" in refusal(folder)


def test_a_folder_that_cannot_be_written_to():
    """Neither can root write here, which permissions do not stop."""
    message = refusal(RunFolder("/sys/run"), action=lambda folder: begin(folder))
    assert message.startswith("cannot write to `run_dir` (=/sys/run): ")


def begin(folder, config=CONFIG, options=None, **facts):
    with folder:
        folder.check_options(options or Identity())
        folder.begin(config, **facts)


@pytest.mark.parametrize("step", [None, 3])
def test_options_of_a_run_that_is_resumed(tmp_path, step):
    """They say whether it is the same run before its data is read, with and without checkpoints."""
    begun(tmp_path)
    if step:
        (tmp_path / f"checkpoints/{step}").mkdir(parents=True)
    folder = RunFolder(tmp_path, resume=True)
    for options in (Identity({"lr": 0.2}), Identity({"augment": []})):
        message = refusal(folder, IdentityError, lambda folder, o=options: folder.check_options(o))
        assert message.startswith(f"cannot resume from {tmp_path / 'config.json'}: `")
    # An option that is new, at its default and at another value.
    new = Identity({"lr": 0.1, "new": 2}, {"new": 1})
    message = refusal(folder, IdentityError, lambda folder: folder.check_options(new))
    assert "`new` was 1 and is now 2" in message
    folder.check_options(Identity({"lr": 0.1, "augment": ("flip",), "new": 1}, {"new": 1}))
    # Nothing is resumed.
    RunFolder(tmp_path).check_options(Identity({"lr": 0.2}))


def test_resuming_before_the_first_checkpoint(tmp_path):
    """What need not be the same is written anew."""
    begun(tmp_path, data=FACTS)
    folder = RunFolder(tmp_path, resume=True)
    changed = {**CONFIG, "run_dir": "moved", "new": 1}
    begin(folder, changed, Identity({"lr": 0.1, "new": 1}, {"new": 1}))
    assert folder.read_config() == changed
    assert folder.read_data() == FACTS


def test_a_configuration_that_is_damaged(tmp_path):
    begun(tmp_path)
    (tmp_path / "config.json").write_text("{")
    folder = RunFolder(tmp_path, resume=True)
    message = refusal(folder, action=begin)
    assert "cannot be read as JSON" in message
    assert message.endswith("so that the run cannot be resumed; start a new one in another folder")
    with pytest.raises(RunError, match="cannot be read as JSON"):
        folder.read_config()
    # A checkpoint says which run it is.
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    folder.check_options(Identity({"lr": 0.2}))


def test_confirm(tmp_path):
    """A run with checkpoints keeps its options until it is known to be the same run."""
    begun(tmp_path)
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    with RunFolder(tmp_path, resume=True) as folder:
        folder.begin({"lr": 0.2})
        assert folder.read_config() == CONFIG
        folder.confirm()
        assert folder.read_config() == {"lr": 0.2}


def test_data(tmp_path):
    folder = RunFolder(begun(tmp_path, data=FACTS))
    assert folder.read_data() == FACTS
    values = json.loads((tmp_path / "data.json").read_text())
    assert values == {"class_names": ["cat", "dog"], "side": 8, "mean": [0.5], "std": [0.25]}
    (tmp_path / "data.json").write_text('{"side": 8}')
    with pytest.raises(RunError, match=r"data\.json does not describe a run's data: KeyError\('cl"):
        folder.read_data()


def test_the_run_id_stays(tmp_path):
    with RunFolder(tmp_path / "one") as folder:
        folder.begin(CONFIG)
        first = folder.run_id
    assert len(first) == 8
    assert int(first, 16) >= 0
    with RunFolder(tmp_path / "one", resume=True) as folder:
        folder.begin(CONFIG)
        assert folder.run_id == first
    assert folder.name == "one"
    with RunFolder(tmp_path / "two") as folder:
        folder.begin(CONFIG)
        assert folder.run_id != first


def test_reading_what_is_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    for name, message in (
        ("missing", "does not exist"),
        ("file", "is a file"),
        (".", r"is no run folder: it has no config\.json"),
    ):
        with pytest.raises(RunError, match=rf"`run` \(=.*\) {message}; name the --run-dir"):
            RunFolder(tmp_path / name).read_config()
    with pytest.raises(RunError, match="cannot be read"):
        list(RunFolder(tmp_path).read_log())


def test_the_report(tmp_path):
    folder = RunFolder(begun(tmp_path))
    folder.write_report({"accuracy": 0.5, "loss": float("nan")})
    assert folder.read_report() == {"accuracy": 0.5, "loss": None}


class Killed(Sink):
    """Ends the run at its first step, as a signal that cannot be handled would."""

    def log(self, event):
        raise KeyboardInterrupt


def test_a_run_killed_before_its_first_checkpoint_can_be_resumed(tmp_path):
    """Also one that has no options but those of `fit`."""
    task = tiny_task(model=Small(), prepare=center_crop)
    config = FitConfig(epochs=1, batch_size=48, eval_batch_size=64)
    reporter = quiet_reporter()
    with pytest.raises(KeyboardInterrupt):
        fit(task, config, folder=RunFolder(tmp_path), sinks=[Killed()], reporter=reporter)
    assert "is not empty; go on with it by --resume" in refusal(RunFolder(tmp_path))
    fit(task, config, folder=RunFolder(tmp_path, resume=True), reporter=reporter)
    assert "yet: starting anew" in reporter.console.file.getvalue()
    assert RunFolder(tmp_path).checkpoints.steps == [3]


def log_of(*events):
    """Return lines of a log, with steps of the epochs that are given."""
    lines = [{"event": name, "step": 1, "epoch": epoch} for name, epoch in events]
    return "".join(json.dumps(line) + "\n" for line in lines)


ONE = [("step", 1), ("epoch", 1)]
"""The log when the first checkpoint begins to be saved, at the latest."""
TWO = [*ONE, ("step", 2), ("epoch", 2)]
"""The log when the second one does, which waits for the first."""


@pytest.mark.parametrize(
    ("has_folder", "events"), [(False, [("step", 1)]), (False, ONE), (True, ONE), (True, TWO)]
)
def test_a_log_that_the_first_checkpoint_may_be_missing_for(tmp_path, has_folder, events):
    begun(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(log_of(*events) + '{"ev')
    if has_folder:
        (tmp_path / "checkpoints").mkdir()
    enter(RunFolder(tmp_path, resume=True))


@pytest.mark.parametrize(
    ("has_folder", "events", "epoch"),
    [(False, [*ONE, ("step", 2)], 2), (True, [*TWO, ("step", 3)], 3), (False, TWO * 2, 2)],
)
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(tmp_path, has_folder, events, epoch):
    """Its log would be lost, and nothing could be resumed."""
    begun(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(log_of(*events))
    if has_folder:
        (tmp_path / "checkpoints").mkdir()
    message = refusal(RunFolder(tmp_path, resume=True))
    assert f"holds the log of a run up to epoch {epoch}, but none of its checkpoints" in message
    assert message.endswith("name another folder by --run-dir, or remove this one to start anew")


def test_a_finished_run_whose_checkpoints_are_gone_is_not_begun_anew(tmp_path):
    folder = RunFolder(begun(tmp_path))
    folder.write_report({"accuracy": 0.5})
    message = refusal(RunFolder(tmp_path, resume=True))
    assert "holds the report.json of a run, but none of its checkpoints; put them back" in message


def test_a_trained_run_is_not_overwritten_after_its_checkpoints_are_removed(tmp_path):
    task = tiny_task(model=Small(), prepare=center_crop)
    config = FitConfig(epochs=2, batch_size=48, eval_batch_size=64)
    fit(task, config, folder=RunFolder(tmp_path), reporter=quiet_reporter())
    shutil.rmtree(tmp_path / "checkpoints")
    folder = RunFolder(tmp_path, resume=True)
    message = refusal(folder, action=lambda folder: fit(task, config, folder=folder))
    assert "up to epoch 2, but none of its checkpoints" in message
