"""Run folders of any name that the file system takes, or one line before the training."""

import dataclasses
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint.utils import TMP_DIR_SUFFIX
from tiny_task import Small, assert_trees_equal, center_crop, quiet_reporter, tiny_task

from resnet_jax.run import (
    CheckpointError,
    CheckpointStore,
    FitConfig,
    RunFolder,
    RunFolderError,
    TensorBoard,
    fit,
    read_log,
)
from resnet_jax.storage import write_manifest
from resnet_jax.training import TrainState, make_optimizer

CONFIG = FitConfig(epochs=1, batch_size=48, eval_batch_size=64)
NAMES = [
    "[2024] p",
    "a*b",
    "q?",
    "**",
    "back\\slash",
    "gs:/x",
    "{x}, %41 #x~",
    "-x",
    "line\nbreak",
    "trailing. ",
    "é日本",
    "caf\udce9",
    "x" * 255,
]


@pytest.fixture(scope="module")
def task():
    return tiny_task(model=Small(), prepare=center_crop)


@pytest.fixture(scope="module")
def whole(task):
    return fit(task, dataclasses.replace(CONFIG, epochs=2), reporter=quiet_reporter())


def train(task, path, *, epochs=1, resume=False):
    return fit(
        task,
        dataclasses.replace(CONFIG, epochs=epochs),
        folder=RunFolder(path, resume=resume),
        sinks=[TensorBoard(Path(path))],
        reporter=quiet_reporter(),
    )


def assert_readable(path, result):
    """Fail unless the last checkpoint is read back as it is."""
    store = RunFolder(path).checkpoints
    variables = store.read_variables(store.choose("last").step, result.state.variables)
    assert_trees_equal(variables, jax.device_get(result.state.variables))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_run_is_resumed_and_read(task, whole, tmp_path, name):
    path = tmp_path / name / "run"
    train(task, path)
    result = train(task, path, epochs=2, resume=True)
    assert result.history == whole.history
    assert_trees_equal(result.state, whole.state)
    assert_readable(path, result)
    assert [event["step"] for event in read_log(path / "metrics.jsonl")][-1] == 6
    # Nothing was written elsewhere.
    assert [child.name for child in tmp_path.iterdir()] == [name.partition("/")[0]]


def test_a_name_that_matches_a_neighbour(tmp_path):
    """As a pattern, the second name is also that of the first."""

    def state(value):
        params = {"w": jnp.full(3, value)}
        tx = make_optimizer(0.1)
        return TrainState(
            step=jnp.int32(1), params=params, batch_stats={}, opt_state=tx.init(params)
        )

    with CheckpointStore(tmp_path / "axb") as store:
        store.save(state(1.0), {})
    # As if a process had been killed during that save.
    (store.folder / "1").rename(store.folder / f"1{TMP_DIR_SUFFIX}")
    saved = store.folder / f"1{TMP_DIR_SUFFIX}/state"
    saved.rename(saved.with_name(f"state{TMP_DIR_SUFFIX}"))
    with CheckpointStore(tmp_path / "a*b") as store:
        store.save(state(2.0), {})
        store.wait()
        restored = store.read_state(1, state(0.0))
    np.testing.assert_array_equal(restored.params["w"], np.full(3, 2.0))


def test_a_linked_folder(task, whole, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "[link]").symlink_to(tmp_path / "disk")
    path = tmp_path / "[link]" / ".." / "[link]"
    train(task, path)
    assert_readable(tmp_path / "disk", train(task, path, epochs=2, resume=True))


def test_a_relative_path_is_that_of_the_beginning(task, tmp_path, monkeypatch):
    """Whatever folder the process changes to during the training."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folder, sinks = RunFolder("run"), [TensorBoard(Path("run"))]
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = fit(task, CONFIG, folder=folder, sinks=sinks, reporter=quiet_reporter())
    assert not list((tmp_path / "elsewhere").iterdir())
    assert_readable(tmp_path / "run", result)


def test_slashes(task, tmp_path):
    path = f"/{tmp_path}//deep/../run/"
    assert_readable(tmp_path / "run", train(task, path))


def test_a_path_that_is_too_long(task, tmp_path):
    """The files of a checkpoint have longer paths than the folder, which itself can be made."""
    path = tmp_path
    while len(os.fsencode(path)) < os.pathconf(tmp_path, "PC_PATH_MAX") - 150:
        path /= "x" * min(99, os.pathconf(tmp_path, "PC_PATH_MAX") - 150 - len(os.fsencode(path)))
    for long in (path, tmp_path / ("x" * 256)):
        with pytest.raises(RunFolderError, match="too long") as error:
            train(task, long)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_options_that_cannot_be_kept(tmp_path):
    """They are refused before anything is made."""
    folder = RunFolder(tmp_path / "run")
    with folder, pytest.raises(ValueError, match=r"config\['run_dir'\] is 'caf\\udce9', which UTF"):
        folder.begin({"run_dir": Path("caf\udce9")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["state/_METADATA", "state/manifest.ocdbt", "progress.json"])
def test_whole_includes_what_reading_needs(task, tmp_path, name):
    """Also where the manifest agrees with what is there."""
    train(task, tmp_path)
    checkpoint = tmp_path / "checkpoints/3"
    (checkpoint / name).unlink()
    write_manifest(checkpoint)
    with pytest.raises(CheckpointError, match=f"is whole: in 3 {name} is missing"):
        RunFolder(tmp_path).checkpoints.choose("last")


def test_temporary_files_in_a_folder_of_such_a_name(tmp_path, monkeypatch):
    """The links would be there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "[tmp]"))
    (tmp_path / "[tmp]").mkdir()
    with (
        pytest.raises(CheckpointError, match=r"set TMPDIR"),
        CheckpointStore(tmp_path / "[run]" / "checkpoints"),
    ):
        pass
    assert not list((tmp_path / "[tmp]").iterdir())
