"""The ImageNet recipes: their numbers, and a tiny run of each on files in the same folders."""

import json

import pytest
from pictures import write_folder
from tiny_runs import create_small_model

from experiments import (
    cifar_resnet34,
    imagenet_resnet50,
    imagenet_resnet50_modern,
    recipe,
    validate,
)
from experiments.flat import flatten, override

BOTH = [imagenet_resnet50, imagenet_resnet50_modern]
SMALL = [
    *("--base-planes", "4", "--resize", "12", "--crop", "8", "--batch-size", "16"),
    *("--eval-batch-size", "4", "--track", "--run-dir", "run", "--epochs", "2"),
    *("--warmup-epochs", "0.5", "--data-dir", "photos"),
]


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """Runs in a folder with images in `photos/train/` and `photos/val/`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "data"))
    write_folder(tmp_path / "photos" / "train", classes=("n01440764", "n01443537"), per_class=24)
    write_folder(tmp_path / "photos" / "val", classes=("n01440764", "n01443537"), per_class=5)


def settled(module, *arguments):
    """Return the flat options of a command line."""
    argv = ["--data-dir", "photos", *arguments]
    job = recipe.parse(module.CONFIG, argv, description="")
    job.check()
    return flatten(job.resolve())


def test_the_recipe_of_the_first_years():
    values = settled(imagenet_resnet50)
    expected = {
        "variant": "resnet50",
        "dataset": "folder",
        "epochs": 90,
        "batch_size": 1024,
        "lr": 0.4,
        "weight_decay": 1e-4,
        "warmup_epochs": 5.0,
        "schedule": "cosine",
        "label_smoothing": 0.1,
        "resize": 256,
        "crop": 224,
        "eval_crop": None,
        "augment": ("flip",),
        "least_area": 0.08,
        "train_accuracy": "running",
    }
    assert {name: values[name] for name in expected} == expected


def test_the_learning_rate_follows_the_batch_unless_it_is_given():
    assert settled(imagenet_resnet50, "--batch-size", "256")["lr"] == 0.1
    assert settled(imagenet_resnet50, "--batch-size", "256", "--lr", "0.3")["lr"] == 0.3
    assert settled(imagenet_resnet50_modern, "--batch-size", "256")["lr"] == 0.5
    assert override(cifar_resnet34.CONFIG, batch_size=64).resolve().optimizer.lr == 0.1


def test_the_modern_recipe():
    values = settled(imagenet_resnet50_modern)
    expected = {
        "epochs": 600,
        "batch_size": 1024,
        "lr": 0.5,
        "weight_decay": 2e-5,
        "resize": 232,
        "crop": 176,
        "eval_crop": 224,
        "augment": ("flip", "trivialaugment", "erase:0.1", "mixup:0.2/cutmix:1"),
        "repeats": 4,
        "train_accuracy": "none",
    }
    assert {name: values[name] for name in expected} == expected
    # 0.99998 every 32 steps, as torchvision adjusts it to 600 epochs of batches of 1024.
    adjusted = 1 - (1 - 0.99998) * 1024 * 32 / 600
    assert values["ema_decay"] ** 32 == pytest.approx(adjusted, abs=1e-5)


@pytest.mark.parametrize("module", BOTH)
def test_they_need_a_folder(module, capsys):
    assert module.main([]) == 2
    assert "`data_dir` (=None) must be the folder of your images" in capsys.readouterr().err


def run(module, *arguments):
    return module.main([*SMALL, *arguments], create_model=create_small_model)


@pytest.mark.parametrize("module", BOTH)
def test_the_quick_preset_needs_none(module):
    options = ["--preset", "quick", "--epochs", "1", "--warmup-epochs", "0", "--run-dir", "quick"]
    sizes = ["--resize", "8", "--crop", "8", "--track"]
    assert module.main([*options, *sizes], create_model=create_small_model) == 0


def test_the_modern_recipe_trains_on_smaller_images_than_it_is_evaluated_on(tmp_path):
    assert run(imagenet_resnet50_modern, "--eval-crop", "10") == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["tests_on_valid"] is True
    assert report["train_accuracy"] is None
    assert sum(map(sum, report["confusion_matrix"])) == 10


def test_validate_gives_the_accuracy_of_the_report(tmp_path):
    """The narrow network of the options, because `validate` makes it by them."""
    arguments = ["--progressive", "6", "--eval-crop", "10", "--variant", "resnet18"]
    assert imagenet_resnet50.main([*SMALL, *arguments]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["image_sizes"] == [6, 8]
    assert len(report["train_accuracy"]) == 2
    command = ["--run", "run", "--data-dir", "photos", "--part", "valid", "--out", "result.json"]
    for checkpoint, expected in (
        ("last", report["test_accuracy"]),
        ("best", report["best_checkpoint"]["test_accuracy"]),
    ):
        options = ["--checkpoint", checkpoint, "--overwrite"]
        assert validate.main([*command, *options]) == 0
        result = json.loads((tmp_path / "result.json").read_text())
        assert result["images"] == 10
        assert result["top1"] == pytest.approx(expected)
