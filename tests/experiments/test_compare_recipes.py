"""The comparison: what it trains, what it leaves alone, and its table."""

import json
from pathlib import Path

import pytest

from experiments import compare_recipes
from experiments.config import check


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """The configurations that were run, each to an accuracy that its seed decides."""
    done = []

    def run(config):
        done.append(config)
        config.run_dir.mkdir(parents=True)
        report = {
            "test_accuracy": (config.seed - 40) / 100,
            "best_valid_accuracy": 0.5,
            "training_seconds": 90.0,
            "config": {"epochs": config.epochs, "seed": config.seed, "lr": config.lr},
        }
        (config.run_dir / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(compare_recipes, "run", run)
    monkeypatch.chdir(tmp_path)
    return done


def test_both_recipes_are_the_same_network_on_the_same_images():
    tutorial, modern = compare_recipes.RECIPES.values()
    for name in ("variant", "stem", "base_planes", "dataset", "resize", "crop", "epochs", "dtype"):
        assert getattr(tutorial, name) == getattr(modern, name)
    for config in (tutorial, modern):
        check(config)


def test_the_table(runs, capsys):
    arguments = ["--seeds", "123", "125", "--run-dir", "out"]
    assert compare_recipes.main(arguments) == 0
    assert [config.seed for config in runs] == [123, 125, 123, 125]
    assert [config.run_dir.name for config in runs][2:] == ["modern_123", "modern_125"]
    table = capsys.readouterr().out
    assert "| modern | 83.00, 85.00 | 84.00 ± 1.41 | 1.5 |" in table.splitlines()
    results = json.loads(Path("out/comparison.json").read_text())
    assert results["tutorial"]["mean"] == pytest.approx(0.84)
    assert Path("out/comparison.md").read_text() == table

    # What has a report is not trained again.
    assert compare_recipes.main(arguments) == 0
    assert len(runs) == 4
    assert compare_recipes.main([*arguments, "--epochs", "9"]) == 2
    assert "holds a run of 1 epochs" in capsys.readouterr().err


def test_an_unknown_recipe(runs, capsys):
    assert compare_recipes.main(["--recipes", "tutorial", "new"]) == 2
    assert capsys.readouterr().err == "error: `recipes` (='new') must be among tutorial, modern\n"
    assert not runs
