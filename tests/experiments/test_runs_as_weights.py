"""A run's folder, or a weight file in it, given as --weights: what to do instead."""

import shutil

import pytest

from experiments import export, finetune, predict

EXPORT = "python -m experiments.export --run {folder} --format pretrained"


@pytest.fixture
def folder(tiny, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(tiny.folder, path)
    (path / "metrics.jsonl").touch()
    return path


def test_predict_has_an_option_for_it(folder, capsys):
    assert predict.main(["--weights", str(folder), str(folder / "none.png")]) == 2
    assert capsys.readouterr().err == (
        f"error: `weights` (={folder}) is the folder of a run; name it by --run, or write its "
        f"network to a folder of weights by `{EXPORT.format(folder=folder)}`\n"
    )


def test_finetune_needs_its_network_in_a_folder(folder, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    line = ["--weights", str(folder), "--data-dir", str(tmp_path / "photos")]
    assert finetune.main([*line, "--run-dir", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err == (
        f"error: `weights` (={folder}) is the folder of a run; write its network to a folder of "
        f"weights by `{EXPORT.format(folder=folder)}`\n"
    )


def test_a_weight_file_in_a_run_is_not_described_by_the_runs_config(folder, tmp_path, capsys):
    assert export.main(["--run", str(folder), "--format", "safetensors"]) == 0
    capsys.readouterr()
    file = folder / "model.safetensors"
    assert predict.main(["--weights", str(file), str(tmp_path / "none.png")]) == 2
    error = capsys.readouterr().err
    assert error.endswith("there is no config.json that says the architecture; give `variant`\n")


def test_the_assumed_variant_of_a_file_is_named(folder, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert export.main(["--run", str(folder), "--format", "safetensors"]) == 0
    capsys.readouterr()
    line = ["--weights", str(folder / "model.safetensors"), "--data-dir", str(tmp_path / "photos")]
    assert finetune.main([*line, "--run-dir", str(tmp_path / "new")]) == 2
    assert "it is not resnet34, which is assumed; name it by --variant" in capsys.readouterr().err
