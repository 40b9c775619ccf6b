"""The comparison: what it trains, what it leaves alone, and its table."""

import json
from pathlib import Path

import pytest

from experiments import compare_recipes
from experiments.flat import flatten


class Training:
    """Takes down what it was to train; each gets an accuracy that its seed decides."""

    def __init__(self):
        self.runs = []

    def __call__(self, config):
        values = flatten(config)
        self.runs.append(values)
        values["run_dir"].mkdir(parents=True, exist_ok=True)
        report = {
            "test_accuracy": (values["seed"] - 40) / 100,
            "best_valid_accuracy": 0.5,
            "training_seconds": 90.0,
            "config": {name: values[name] for name in ("epochs", "seed", "lr")},
        }
        (values["run_dir"] / "report.json").write_text(json.dumps(report))


@pytest.fixture
def train(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Training()


def test_both_recipes_are_the_same_network_on_the_same_images():
    tutorial, onecycle = map(flatten, compare_recipes.RECIPES.values())
    for name in ("variant", "stem", "base_planes", "dataset", "resize", "crop", "epochs", "dtype"):
        assert tutorial[name] == onecycle[name]
    for config in compare_recipes.RECIPES.values():
        config.check()


def test_the_table(train, capsys):
    arguments = ["--seeds", "123", "125", "--run-dir", "out"]
    assert compare_recipes.main(arguments, train=train) == 0
    assert [config["seed"] for config in train.runs] == [123, 125, 123, 125]
    assert [config["run_dir"].name for config in train.runs][2:] == ["onecycle_123", "onecycle_125"]
    table = capsys.readouterr().out
    assert "| onecycle | 83.00, 85.00 | 84.00 ± 1.41 | 1.5 |" in table.splitlines()
    results = json.loads(Path("out/comparison.json").read_text())
    assert results["tutorial"]["mean"] == pytest.approx(0.84)
    assert Path("out/comparison.md").read_text() == table

    # What has a report is not trained again.
    assert compare_recipes.main(arguments, train=train) == 0
    assert len(train.runs) == 4
    assert compare_recipes.main([*arguments, "--epochs", "9"], train=train) == 2
    assert "holds a run of 1 epochs" in capsys.readouterr().err


def test_another_comparison_is_not_replaced(train, capsys):
    """As `experiments.compare --out out` writes one."""
    Path("out").mkdir()
    Path("out/comparison.json").write_text("precious")
    assert compare_recipes.main(["--seeds", "123", "--run-dir", "out"], train=train) == 2
    message = "error: `run_dir` (=out/comparison.json) exists; name another folder by --run-dir\n"
    assert capsys.readouterr().err == message
    assert not train.runs


def test_an_unknown_recipe(train, capsys):
    assert compare_recipes.main(["--recipes", "tutorial", "new"], train=train) == 2
    message = "error: `recipes` (='new') must be one of tutorial, onecycle\n"
    assert capsys.readouterr().err == message
    assert not train.runs


def test_a_run_that_was_stopped_is_resumed(train, capsys):
    def stop(config):
        Path(flatten(config)["run_dir"]).mkdir(parents=True)
        (flatten(config)["run_dir"] / "config.json").write_text("{}")
        raise KeyboardInterrupt

    arguments = ["--seeds", "123", "--run-dir", "out", "--recipes", "onecycle"]
    assert compare_recipes.main(arguments, train=stop) == 130
    assert capsys.readouterr().err == "stopped by SIGINT; go on with the same command\n"
    resumed = []
    compare_recipes.main(arguments, train=resumed.append)
    assert flatten(resumed[0])["resume"]


def test_a_run_under_a_former_name(train, capsys):
    """It is not trained again under the new name without a word."""
    former = Path("out/modern_123")
    former.mkdir(parents=True)
    arguments = ["--seeds", "123", "--run-dir", "out"]
    assert compare_recipes.main(arguments, train=train) == 2
    message = "out/modern_123 is a run of the recipe that is now called onecycle; rename it to"
    assert message in capsys.readouterr().err
    assert not train.runs
    former.rename("out/onecycle_123")
    assert compare_recipes.main(arguments, train=train) == 0
