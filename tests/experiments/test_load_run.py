"""A run folder opened again: which checkpoint, and one line for each that is no run."""

import json
import shutil

import jax
import numpy as np
import pytest
from tiny_runs import BEST, LAST, write_run

from experiments.load_run import open_run
from resnet_jax.run import CheckpointError, DataFacts, RunError


def assert_equal(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize(("checkpoint", "step"), [("best", BEST), ("last", LAST)])
def test_a_run(tiny, checkpoint, step):
    before = {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")}
    run = open_run(tiny.folder, checkpoint)
    assert run.step == step
    assert_equal(run.variables, tiny.variables[step])
    assert run.data.class_names == tuple("0123456789")
    assert run.transform.source == (8, 8)
    assert (run.transform.resize, run.transform.crop) == (12, 10)
    assert run.transform.mean == (0.3054,)
    assert {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")} == before


def test_averages_are_what_was_evaluated(tmp_path):
    _, variables = write_run(tmp_path / "run", ema=True)
    assert_equal(open_run(tmp_path / "run", "last").variables, variables[LAST])


def test_data_of_its_own(tmp_path):
    facts = DataFacts(("cat", "dog"), 12, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    write_run(tmp_path / "run", classes=2, channels=3, data=facts)
    run = open_run(tmp_path / "run")
    assert run.data == facts
    assert run.transform.source == (12, 12)
    (tmp_path / "run" / "data.json").write_text('{"side": 3}')
    with pytest.raises(RunError, match="does not describe a run's data: KeyError"):
        open_run(tmp_path / "run")


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny.folder, tmp_path / "copy")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def damage(folder):
    file = next(path for path in folder.rglob("*") if path.name == "manifest.ocdbt")
    file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_damaged_last_checkpoint(copy, capsys, checkpoint):
    """The one before is taken, not silently."""
    open_run(copy, checkpoint)
    assert capsys.readouterr().err == ""
    damage(copy / "checkpoints" / str(LAST))
    assert open_run(copy, checkpoint).step == BEST
    output = capsys.readouterr()
    assert output.out == ""
    told = f"warning: checkpoint {LAST} is damaged (state/manifest.ocdbt has other contents"
    assert output.err.startswith(told)
    assert output.err.count("\n") == 1


def test_no_checkpoint_is_whole(copy):
    damage(copy / "checkpoints" / str(LAST))
    damage(copy / "checkpoints" / str(BEST))
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"):
        open_run(copy, "last")


def test_a_damaged_best_checkpoint(copy):
    damage(copy / "checkpoints" / str(BEST))
    with pytest.raises(CheckpointError, match=r"20 cannot be used: .*--checkpoint last"):
        open_run(copy)
    shutil.rmtree(copy / "checkpoints" / str(BEST))
    with pytest.raises(CheckpointError, match=r"not there any more; .*--checkpoint last"):
        open_run(copy)
    assert open_run(copy, "last").step == LAST


def test_no_best_checkpoint_yet(tmp_path):
    write_run(tmp_path / "run", best_step=0)
    with pytest.raises(CheckpointError, match=r"no epoch of .* has been evaluated yet"):
        open_run(tmp_path / "run")


def test_a_checkpoint_of_another_network(copy):
    (copy / "data.json").write_text(
        json.dumps({"class_names": ["a", "b"], "side": 8, "mean": [0.5], "std": [0.5]})
    )
    message = r"has float32\[10\] at params/fc/bias, but the network .* has float32\[2\] there"
    with pytest.raises(CheckpointError, match=message):
        open_run(copy)


MISTAKES = {
    "missing": r"`run` \(=.*\) does not exist; name the --run-dir",
    "file": r"`run` \(=.*\) is a file",
    "folder": r"`run` \(=.*\) is no run folder: it has no config.json",
    "begun": r"`run` \(=.*\) has no checkpoint yet",
    "list": r"config.json is not a JSON object",
    "text": r"config.json cannot be read as JSON",
    "other": r"config.json is not of a run of this version: it lacks 'variant'",
    "dataset": r"data.json is missing; without it the classes of `dataset` \(='mine'\)",
    "crop": r"config.json is not of a run of this version: `crop` \(=13\) must not exceed",
    "arguments": r"config.json is not of a run of this version: ",
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_no_run(kind, copy, tmp_path):
    folder, config = copy, copy / "config.json"
    if kind == "missing":
        folder = tmp_path / "nothing"
    elif kind == "file":
        folder = config
    elif kind == "folder":
        config.unlink()
    elif kind == "begun":
        shutil.rmtree(copy / "checkpoints")
    elif kind == "dataset":
        edit(config, dataset="mine")
    elif kind == "arguments":
        edit(config, model_args=["deep"])
    elif kind == "crop":
        edit(config, crop=13)
    else:
        config.write_text({"list": "[1]", "text": "{", "other": '{"a": 1}'}[kind])
    with pytest.raises(ValueError, match=MISTAKES[kind]):
        open_run(folder)


def test_another_checkpoint(tiny):
    with pytest.raises(ValueError, match=r"`checkpoint` \(='first'\) must be one of best, last"):
        open_run(tiny.folder, "first")
