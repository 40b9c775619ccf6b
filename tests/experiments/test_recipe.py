"""The command: presets, one line for each mistake and nothing written, and a whole tiny run."""

import json
import math
import re
import socket
from pathlib import Path

import pytest
from PIL import Image
from tiny_runs import create_small_model

from experiments import (
    cifar_resnet18_modern,
    cifar_resnet20,
    cifar_resnet34,
    cifar_resnet34_modern,
    cifar_resnet50,
    cifar_resnet50_modern,
    cifar_resnext50_32x4d,
    cifar_resnext50_32x4d_modern,
    recipe,
)
from experiments.flat import flatten

RECIPES = {
    "resnet34": cifar_resnet34,
    "resnet50": cifar_resnet50,
    "resnext50_32x4d": cifar_resnext50_32x4d,
}

QUICK = ["--preset", "quick", "--epochs", "1", "--run-dir", "run"]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Runs in an empty folder, with no data set prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize(("variant", "module"), RECIPES.items())
def test_defaults_are_the_references(variant, module):
    values = flatten(module.CONFIG)
    assert values["variant"] == variant
    assert values["run_dir"] == Path(f"runs/{module.__name__.split('.')[-1]}")
    expected = {
        "seed": 123,
        "batch_size": 256,
        "epochs": 50,
        "momentum": 0.9,
        "lr": 0.1,
        "log_every": 100,
        "resize": 120,
        "crop": 110,
        "dataset": "cifar10",
        "scheduler_on": "valid_acc",
    }
    assert {name: values[name] for name in expected} == expected


MODERN = (
    cifar_resnet18_modern,
    cifar_resnet34_modern,
    cifar_resnet50_modern,
    cifar_resnext50_32x4d_modern,
)


def test_resnet20_is_the_papers():
    values = flatten(cifar_resnet20.CONFIG)
    # 64,000 steps of 351 an epoch, divided after 32,000 and 48,000.
    assert abs(values["epochs"] * (45_000 // 128) - 64_000) < 351
    expected = {
        "variant": "resnet20",
        "batch_size": 128,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "multistep",
        "milestones": (0.5, 0.75),
        "gamma": 0.1,
        "augment": ("crop:4", "flip"),
    }
    assert {name: values[name] for name in expected} == expected


def help_of(module, capsys, *argv):
    with pytest.raises(SystemExit) as stopped:
        module.main([*argv, "--help"])
    assert stopped.value.code == 0
    return " ".join(re.sub(r"\x1b\[[\d;]*m|[│╭╰─╮╯]", " ", capsys.readouterr().out).split())


@pytest.mark.parametrize("module", MODERN, ids=lambda module: module.__name__)
def test_the_quick_preset_of_a_recipe(module, capsys):
    """On digits the modern recipes make no mirror images and no large holes."""
    plain = help_of(module, capsys)
    assert "(default: crop:4 flip cutout:16)" in plain
    quick = help_of(module, capsys, "--preset", "quick")
    assert "(default: crop:2)" in quick
    assert "(default: digits)" in quick


def test_the_command_line_overrides_the_preset():
    config = recipe.parse(
        cifar_resnet34.CONFIG, ["--epochs", "3", "--preset", "quick"], description=""
    )
    values = flatten(config)
    assert (values["dataset"], values["resize"], values["epochs"]) == ("digits", 32, 3)
    assert values["run_dir"] == Path("runs/cifar_resnet34_quick")


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cifar_resnet34.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    names = flatten(cifar_resnet34.CONFIG)
    for name in names:
        assert f"--{name.replace('_', '-')}" in text
    assert " ".join(text.split()).count("(default:") == len(names)


MISTAKES = {
    "--dataset cifar11": r"`dataset` \(='cifar11'\) must be one of cifar10, ",
    "--variant vgg": r"`variant` \(='vgg'\) must be one of \d+ names, such as resnet18, ",
    "--preset slow": r"`preset` \(='slow'\) must be one of none, quick",
    "--epochs 0": r"`epochs` \(=0\) must be at least 1",
    "--batch-size 0": r"`batch_size` \(=0\) must be at least 1",
    "--eval-batch-size -2": r"`eval_batch_size` \(=-2\) must be at least 1",
    "--crop 0": r"`crop` \(=0\) must be at least 1",
    "--resize -1": r"`resize` \(=-1\) must be at least 1",
    "--crop 121": r"`crop` \(=121\) must not exceed `resize` \(=120\)",
    "--lr 0": r"`lr` \(=0.0\) must be finite and above 0",
    "--lr nan": r"`lr` \(=nan\) must be finite and above 0",
    "--momentum 1": r"`momentum` \(=1.0\) must be at least 0 and below 1",
    "--seed -1": r"`seed` \(=-1\) must be in",
    "--scheduler-on loss": r"`scheduler_on` \(='loss'\) must be one of valid_acc, minibatch_loss",
    "--parallel ddp": r"`parallel` \(='ddp'\) must be one of auto, jit, pmap",
    "--optimizer sdg": r"`optimizer` \(='sdg'\) must be one of sgd, ",
    "--optimizer adamw --nesterov": r"`nesterov` \(=True\) is not an option of adamw",
    "--track paper": r"`track` \(='paper'\) must be one of tensorboard, ",
    "--dtype float16": r"`dtype` \(='float16'\) must be one of auto, float32, bfloat16",
    "--base-planes 0": r"`base_planes` \(=0\) must be at least 1 for resnet34",
    "--variant resnext50_32x4d --base-planes 15": r"must be at least 16 for resnext50_32x4d",
    "--weight-decay -1": r"`weight_decay` \(=-1.0\) must be finite and at least 0",
    "--nesterov --momentum 0": r"`nesterov` \(=True\) needs `momentum`",
    "--label-smoothing 1": r"`label_smoothing` \(=1.0\) must be at least 0 and below 1",
    "--ema-decay 1": r"`ema_decay` \(=1.0\) must be at least 0 and below 1",
    "--schedule step": r"`schedule` \(='step'\) must be one of plateau, constant, cosine, onecycle",
    "--schedule cosine --warmup-epochs 50": r"`warmup_epochs` \(=50.0\) .* below `epochs` \(=50\)",
    "--schedule onecycle": r"`warmup_epochs` \(=0.0\) must be above 0 with `schedule` onecycle",
    "--schedule cosine --gamma 0.2": r"`gamma` \(=0.2\) is for `schedule` multistep; leave it out",
    "--schedule multistep --milestones 0.5 0.4": r"`milestones` \(=\(0.5, 0.4\)\) must ascend",
    "--schedule multistep --milestones 1": r"`milestones` \(=\(1.0,\)\) .* between 0 and 1",
    "--schedule multistep --gamma 0": r"`gamma` \(=0.0\) must be finite and above 0",
    "--schedule cosine --scheduler-on minibatch_loss": r"is for `schedule` plateau; leave it out",
    "--augment crop flop": r"`augment` \(='flop'\) must be one of crop, flip, ",
    "--augment cutout:0": r"`augment` \(='cutout:0'\): `size` \(=0\) must be at least 1",
    "--augment mixup crop": r"`augment`: PadCrop works on pixels and must come before Mixup",
    "--preset quick --batch-size 72 --augment mixup": r"must be divisible by 16, twice the number",
    "--preset quick --augment mixup --train-accuracy running": r"needs one label for each image",
    "--train-accuracy all": r"`train_accuracy` \(='all'\) must be one of full, running, none",
    "--recipe tutorial --train-accuracy none": r"`train_accuracy` \(='none'\) must be 'full' with",
    "--eval-crop 121": r"`eval_crop` \(=121\) must be at least 1, and not exceed `resize`",
    "--eval-crop 0": r"`eval_crop` \(=0\) must be at least 1",
    "--progressive 64 110": r"`progressive` \(=\(64, 110\)\) must ascend .* below `crop` \(=110\)",
    "--progressive 0": r"`progressive` \(=\(0,\)\) must ascend from at least 1",
    "--progressive 64 96 --epochs 2": r"`progressive` .* makes 3 sizes, .* `epochs` \(=2\) must",
    "--stem vgg": r"`stem` \(='vgg'\) must be one of imagenet, cifar",
    "--recipe mine": r"`recipe` \(='mine'\) must be one of default, tutorial",
    "--preset quick --batch-size 2000": r"`batch_size` \(=2000\) must not exceed .* \(=1294\)",
    "--preset quick --batch-size 60": r"`batch_size` \(=60\) must be divisible .* 56 or 64",
    "--archive missing.tar.gz": r"missing.tar.gz",
    "--resume": r"`run_dir` \(=.*/runs/cifar_resnet34\) holds no run to resume",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(line, capsys, tmp_path):
    assert cifar_resnet34.main(line.split()) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", printed.err)
    assert re.search(MISTAKES[line], printed.err)
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_a_wrong_archive(capsys, tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"not an archive")
    assert cifar_resnet34.main(["--archive", str(archive)]) == 2
    assert "checksum" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [archive]


def test_without_a_network(capsys, monkeypatch, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert cifar_resnet34.main([]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for way in ("refused", "--archive", "--data-dir", "--dataset digits"):
        assert way in message
    assert not (tmp_path / "runs").exists()


def run(arguments):
    return cifar_resnet34.main(arguments, create_model=create_small_model)


def test_a_whole_run(capsys, tmp_path):
    arguments = ["--preset", "quick", "--epochs", "2", "--run-dir", "run"]
    assert run(arguments) == 0
    folder = tmp_path / "run"
    for name in ("loss", "accuracy", "examples", "confusion_matrix"):
        with Image.open(folder / "figures" / f"{name}.png") as image:
            assert min(image.size) > 400
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert list(folder.glob("events.out.tfevents.*"))
    report = json.loads((folder / "report.json").read_text())
    assert 0.0 <= report["test_accuracy"] <= 1.0
    assert sum(map(sum, report["confusion_matrix"])) == 360
    correct = sum(report["confusion_matrix"][digit][digit] for digit in range(10))
    assert report["test_accuracy"] == pytest.approx(correct / 360)
    assert report["config"]["epochs"] == 2
    assert len(report["valid_accuracy"]) == 2
    assert report["images_per_second"] > 0
    printed = capsys.readouterr().out
    assert f"Test accuracy {100 * report['test_accuracy']:.2f}%" in printed
    for command in ("predict --run run IMAGE", "compare run OTHER", "export --run run --format"):
        assert f"\n  python -m experiments.{command}" in printed

    # The same command again would overwrite: it is refused, and nothing changes.
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert run(arguments) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run([*arguments, "--resume", "--seed", "7"]) == 2
    assert "`seed` was 123 and is now 7" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before

    assert run([*arguments, "--resume", "--epochs", "3"]) == 0
    assert len(json.loads((folder / "report.json").read_text())["valid_accuracy"]) == 3
    assert json.loads((folder / "config.json").read_text())["epochs"] == 3


@pytest.mark.parametrize(
    ("kind", "count", "caption"),
    [
        ("running", 1, "in the steps of the last"),
        ("none", 0, "that of the training images was not"),
    ],
)
def test_a_run_without_the_pass_over_the_training_images(kind, count, caption, tmp_path):
    arguments = [*QUICK, "--resize", "8", "--crop", "8", "--train-accuracy", kind]
    assert run(arguments) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(report["train_accuracy"] or []) == count
    assert report["config"]["train_accuracy"] == kind
    assert caption in (tmp_path / "run" / "report.html").read_text()
    # Another kind would be another curve.
    assert run([*arguments, "--resume", "--train-accuracy", "full"]) == 2


def test_the_tutorial_recipe():
    """Random crops in evaluation, full batches for the training accuracy, ImageNet's slip."""
    config = recipe.parse(
        cifar_resnet34.CONFIG,
        [*QUICK, "--crop", "28", "--recipe", "tutorial"],
        description="",
    )
    history, _ = cifar_resnet34.train(config, create_model=create_small_model)
    images = history.train_accuracy[0] / 100 * 1280  # 20 batches of 64
    assert images == pytest.approx(round(images), abs=1e-6)


MODERN = [
    *("--preset", "quick", "--epochs", "1", "--resize", "8", "--crop", "8", "--run-dir", "run"),
    *("--augment", "crop:1", "flip", "cutout:2", "mixup", "--warmup-epochs", "0.5", "--track"),
]


def test_the_modern_recipe(capsys, tmp_path):
    def run(arguments):
        return cifar_resnet18_modern.main(arguments, create_model=create_small_model)

    assert run(MODERN) == 0
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["config"]["dtype"] == "float32"  # what "auto" is on a CPU
    assert report["config"]["track"] == []
    assert not list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert report["config"]["augment"] == ["crop:1", "flip", "cutout:2", "mixup"]
    # The last of 20 steps of a cosine after 10 of warm-up.
    expected = 0.1 * (1 + math.cos(0.9 * math.pi)) / 2
    assert report["learning_rates"] == pytest.approx([expected], rel=1e-4)
    capsys.readouterr()
    # With more epochs the learning rates up to now would have been others.
    assert run([*MODERN, "--resume", "--epochs", "2"]) == 2
    assert "`epochs` was 1 and is now 2" in capsys.readouterr().err


def test_train_returns_history_and_state():
    config = recipe.parse(cifar_resnet34.CONFIG, QUICK, description="")
    history, state = cifar_resnet34.train(config, create_model=create_small_model)
    losses, train, valid = history
    assert (len(losses), len(train), len(valid)) == (20, 1, 1)
    assert all(map(math.isfinite, losses))
    assert int(state.step) == 20
