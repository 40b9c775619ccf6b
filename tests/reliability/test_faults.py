"""Faults around a run: each one line, with nothing overwritten and the last checkpoint kept."""

import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj
from experiments.flat import flatten, override
from experiments.recipe import Recipe
from experiments.train import train
from resnet_jax.data import Arrays
from resnet_jax.run import (
    CheckpointError,
    DataFacts,
    FitConfig,
    Identity,
    IdentityError,
    NonFiniteLossError,
    RunFolder,
    RunFolderError,
)
from resnet_jax.run.migrations import FORMAT_VERSION
from resnet_jax.storage import find_damage, write_manifest
from resnet_jax.training import make_optimizer

from .runs import CONFIG, ROOT, TIMEOUT, At, Linear, assert_same, contents, start_tiny_run

NEXT_VERSION = FORMAT_VERSION + 1


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "run")
    return tmp_path / "run"


def test_a_second_run_in_the_folder(run, whole, tmp_path):
    """It fails at once, and the first one ends as it would have."""
    code = """
import sys
from resnet_jax.run import RunFolder, RunFolderError
try:
    with RunFolder(sys.argv[1], resume=True):
        pass
except RunFolderError as error:
    raise SystemExit(f"error: {error}")
"""
    answers = []

    def start_another():
        command = [sys.executable, "-c", code, str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        answers.append(
            subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        )

    result = run(tmp_path, reporter=At(2, start_another))
    assert answers[0].returncode == 1
    assert "is in use by another run" in answers[0].stderr
    assert_same(tmp_path, result, whole)
    # Free again, and a thread that has it may take it again.
    with RunFolder(tmp_path, resume=True) as folder, folder, RunFolder(tmp_path, resume=True):
        start_another()
    assert answers[1].returncode == 1
    start_another()
    assert answers[2].returncode == 0, answers[2].stderr


def test_the_run_folder_is_removed(run, tmp_path):
    folder = tmp_path / "run"

    def remove():
        # At once, whatever is being written into it.
        shutil.rmtree(folder.rename(tmp_path / "removed"), ignore_errors=True)

    with pytest.raises(ValueError, match=r"cannot (write to|save)") as error:
        run(folder, reporter=At(3, remove))
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_to(run, tmp_path):
    """Neither can root write here, which permissions do not stop."""
    with pytest.raises(RunFolderError, match=r"cannot write to `run_dir` \(=/sys/run\): "):
        run(Path("/sys/run"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write to"):
        run(tmp_path / "file" / "run")


@pytest.mark.parametrize("place", ["log", "checkpoint"])
def test_the_disk_is_full(run, whole, copy, place):
    """A limit on the size of files stands for it: what exceeds it fails in the kernel."""
    before = contents(copy)
    size = (copy / "metrics.jsonl").stat().st_size
    # Room for a checkpoint but not for the log, or the other way round.
    limit = size + 10 if place == "log" else 4096
    if place == "checkpoint":
        config = dataclasses.replace(CONFIG, epochs=4)
        (copy / "metrics.jsonl").unlink()
    else:
        config = dataclasses.replace(CONFIG, epochs=4, log_every=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ValueError, match=r"cannot (write to|save)") as error:
            run(copy, config=config, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert "\n" not in str(error.value)
    assert find_damage(copy / "checkpoints/24") is None
    kept = {name: data for name, data in before.items() if name.startswith("checkpoints/24")}
    assert kept.items() <= contents(copy).items()
    # With room again.
    assert_same(copy, run(copy, resume=True), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": Linear(11)}, r"`params/Dense_0/bias` was 'float32\[10\]' and is now '.*\[11\]'"),
        (
            {"tx": make_optimizer(0.05, 0.0)},
            r"`opt_state/.*trace.* was 'float32.*' and is now None",
        ),
        ({"tx": make_optimizer(0.06)}, r"`initial_learning_rate` was '0.05' and is now '0.06'"),
        ({"controller": rj.ReduceLROnPlateau()}, r"`controller` was .*'patience': 0.*: 10"),
        ({"train": Arrays(np.zeros((130, 8, 8, 1), np.uint8), np.zeros(130, np.int32))}, "_data` "),
    ],
)
def test_a_checkpoint_of_another_run(run, copy, task, changes, message):
    before = contents(copy)
    with pytest.raises(IdentityError, match=message):
        run(copy, task=dataclasses.replace(task, **changes), resume=True)
    assert contents(copy) == before


def test_another_option_is_refused_before_the_data_is_read(tmp_path):
    """The message names options alone; the data, which is not there, would differ as well."""
    job = override(
        Recipe(), dataset="cifar10", data_dir=tmp_path / "none", run_dir=tmp_path / "run"
    )
    job = override(job, resize=40, crop=32).resolve()
    with RunFolder(tmp_path / "run") as folder:
        folder.begin(flatten(job))
    (tmp_path / "run/checkpoints/3").mkdir(parents=True)
    before = contents(tmp_path / "run")
    with pytest.raises(IdentityError, match=r"config.json: `resize` was 40 and is now 44\. Give"):
        train(override(job, resize=44, resume=True))
    assert contents(tmp_path / "run") == before


def rewrite_progress(folder, **values):
    path = folder / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    write_manifest(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"format": FORMAT_VERSION + 1},
            rf"has format {FORMAT_VERSION + 1}, .* up to {FORMAT_VERSION}; update",
        ),
        ({"format": "x"}, "is not the progress of a run"),
        ({"history": {}}, "is not the record of a run"),
        ({"learning_rates": []}, "do not go together"),
        ({"plateau": None}, "is not the record of a run"),
    ],
)
def test_a_checkpoint_of_another_version(run, copy, values, message):
    rewrite_progress(copy / "checkpoints/24", **values)
    before = contents(copy)
    with pytest.raises(CheckpointError, match=message):
        run(copy, resume=True)
    assert contents(copy) == before


def test_other_versions_of_libraries_are_said(run, whole, copy):
    rewrite_progress(copy / "checkpoints/24", versions={"jax": "0.1"})
    assert_same(copy, run(copy, resume=True), whole)
    assert "Warning: numbers may differ from before, jax 0.1 is now " in run.output


def test_a_run_is_not_begun_over_another(run, copy):
    before = contents(copy)
    with pytest.raises(RunFolderError, match="is not empty; go on with it by --resume"):
        run(copy)
    with pytest.raises(CheckpointError, match=r"`epochs` \(=2\) must be at least 3"):
        run(copy, config=dataclasses.replace(CONFIG, epochs=2), resume=True)
    assert contents(copy) == before


def test_stopped_before_the_first_checkpoint(run, whole, tmp_path):
    (tmp_path / "checkpoints/3.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text('{"event": "step", "step": 1}\n{"ev')
    assert_same(tmp_path, run(tmp_path, resume=True), whole)
    assert "starting anew" in run.output


def die():
    raise RuntimeError("died")


def test_ended_before_the_first_checkpoint(run, whole, tmp_path):
    """The log has begun by then, which is enough to go on."""
    with pytest.raises(RuntimeError, match="died"):
        run(tmp_path, reporter=At(1, die))
    assert not (tmp_path / "checkpoints").exists()
    assert_same(tmp_path, run(tmp_path, resume=True), whole)
    assert "starting anew" in run.output


@pytest.mark.parametrize("unwritable", ["config", "data"])
def test_ended_while_the_folder_is_begun(tmp_path, unwritable):
    """It is still as if it were new, or it holds a run to resume."""
    facts = DataFacts(("cat", "dog"), 8, (0.3,), (0.4,))
    begun = {"config": {"lr": 0.1}, "data": facts}
    unwritten = {"config": {"lr": die}, "data": facts._replace(side=die)}[unwritable]
    with RunFolder(tmp_path) as folder, pytest.raises(ValueError, match="JSON"):
        folder.begin(**{**begun, unwritable: unwritten})
    with RunFolder(tmp_path, resume=RunFolder(tmp_path).has_run) as folder:
        folder.check_options(Identity({"lr": 0.1}))
        folder.begin(**begun)
    assert folder.read_config() == begun["config"]
    assert folder.read_data() == facts


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range(run, task, tmp_path, label):
    labels = task.train.labels.copy()
    labels[17] = label
    wrong = dataclasses.replace(task, train=Arrays(task.train.images, labels))
    message = rf"the label of training image 17 \(={label}\) must be in \[0, 10\)"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, task=wrong)
    assert not (tmp_path / "checkpoints").exists()


def test_nan_in_the_data(run, task, tmp_path):
    """Images of a certain brightness become NaN in the transform: step and batch are named."""
    images = task.train.images.copy()
    images[100] = 255

    def prepare(batch, labels, keys):
        white = (batch == 255).all((1, 2, 3), keepdims=True)
        return jnp.where(white, jnp.nan, batch / 256), labels

    wrong = dataclasses.replace(task, train=Arrays(images, task.train.labels), prepare=prepare)
    with pytest.raises(NonFiniteLossError) as error:
        run(tmp_path, task=wrong)
    message = str(error.value)
    step = int(message.split("the loss of step ")[1].split()[0])
    assert f"(epoch {-(-step // 8)}, batch {(step - 1) % 8 + 1} of 8) is nan" in message
    saved_steps = RunFolder(tmp_path).checkpoints.steps
    assert all(saved < step for saved in saved_steps)
    for saved in saved_steps:
        assert find_damage(tmp_path / "checkpoints" / str(saved)) is None


def test_parameters_that_are_not_finite_are_not_saved(run, task, tmp_path):
    """The loss of the step is finite, the parameters after it are not."""

    def bright(images, labels, keys):
        return images * 1.0, labels

    wild = dataclasses.replace(task, tx=make_optimizer(3e38), prepare=bright)
    config = dataclasses.replace(CONFIG, checkpoint_every=1)
    message = r"a parameter is not finite after step 1 \(epoch 1, batch 1 of 8\)"
    with pytest.raises(NonFiniteLossError, match=message):
        run(tmp_path, task=wild, config=config)
    assert RunFolder(tmp_path).checkpoints.steps == []


@pytest.mark.parametrize("name", ["checkpoint_every", "checkpoint_minutes"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_bad_intervals(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be finite and at least 0"):
        FitConfig(**{name: value})


def test_checkpoints_by_the_clock(run, whole, tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_every=0, checkpoint_minutes=1e-9)
    assert_same(tmp_path, run(tmp_path, config=config), whole)
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert {23, 24} <= kept


@pytest.mark.parametrize("size", [1000, 3000, 5000])
def test_the_command_says_one_line_of_a_full_disk(tmp_path, size):
    """Whatever the threads of the save are doing; this size is where its first or last file is."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # The limit would stop writing to the cache of compiled programs, too, which warns of it.
    process = start_tiny_run(
        tmp_path / "full",
        compile_cache=False,
        figures=os.devnull,
        preexec_fn=limit,
    )
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2
    # At the least size it is the configuration that cannot be written.
    what = r"save the checkpoint of step \d+ in" if size > 1000 else "write to `run_dir`"
    said = rf"error: cannot {what} [^\n]*: File too large\b[^\n]+\n"
    assert re.fullmatch(said, errors), errors


def test_the_command_says_one_line_of_a_folder_in_use(tmp_path):
    process = start_tiny_run(tmp_path / "run")
    process.stdout.readline()
    second = start_tiny_run(tmp_path / "run", "--resume")
    _, errors = second.communicate(timeout=TIMEOUT)
    assert second.returncode == 2
    assert "is in use by another run" in errors
    assert errors.count("\n") == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)


def test_a_model_with_too_few_classes(run, task, tmp_path):
    with pytest.raises(ValueError, match=r"must be in \[0, 3\), the classes of the model"):
        run(tmp_path, task=dataclasses.replace(task, model=Linear(3)))
