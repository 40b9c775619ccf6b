"""The time to an accuracy: what is trained, measured, printed and written."""

import io
import json
import re
from contextlib import redirect_stdout
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import time_to_accuracy
from experiments.benchmarks.flops import PEAK_FLOPS, forward_flops, peak_flops
from experiments.benchmarks.time_to_accuracy import describe, summarise
from experiments.benchmarks.timed_options import Options, load
from experiments.benchmarks.timed_training import TimedEpoch
from experiments.flat import override
from resnet_jax.models import create_model

TINY = [
    *("--dataset", "digits", "--base-planes", "4", "--resize", "8", "--crop", "8"),
    *("--batch-size", "256", "--augment", "crop:1", "--epochs", "2", "--progressive", "6"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("times") / "result.json"


@pytest.fixture(scope="module")
def run(out):
    """A run that goes on after its target: the exit code and what was printed."""
    with redirect_stdout(io.StringIO()) as printed:
        code = time_to_accuracy.main([*TINY, "--target", "1", "--no-stop", "--out", str(out)])
    return code, printed.getvalue()


def test_every_epoch_is_told(run):
    code, text = run
    assert code == 0
    assert re.search(r"1 % reached after 2 epochs, in \d+\.\d\d s: \d+\.\d\d s of training", text)
    rows = re.findall(r"^ +(\d)  +(\d)  +\d+\.\d\d  \d\.\d{4}  +\d+\.\d\d %$", text, re.MULTILINE)
    assert rows == [("1", "6"), ("2", "8")]
    assert "digits: 1,437 training and 360 test images, 10 classes" in text
    assert "share of the chip's bfloat16 peak: unknown" in text


def test_the_result_is_written(run, out):
    result = json.loads(out.read_text())
    assert result["reached"] is True
    last = result["history"][-1]["eval_seconds"]
    assert result["seconds_to_target"] == pytest.approx(result["training_seconds"] + last)
    assert [epoch["side"] for epoch in result["history"]] == [6, 8]
    assert result["training_seconds"] == sum(epoch["seconds"] for epoch in result["history"])
    # A program for each size, and one for the evaluation.
    assert set(result["compile_seconds"]) == {"training at 6 px", "training at 8 px", "evaluation"}
    rate = 2 * 5 * 256 / result["training_seconds"]
    assert result["images_per_second"] == pytest.approx(rate)
    mean = np.mean(list(result["flops_per_image"].values()))
    assert result["flops_per_second"] == pytest.approx(rate * mean)
    assert result["share_of_peak"] is None
    assert result["options"]["dtype"] == "float32"
    assert result["options"]["batch_size"] == 256
    assert result["data"]["training_images"] == 1437


def test_a_result_is_not_replaced(run, out, capsys):
    before = out.read_bytes()
    assert time_to_accuracy.main([*TINY, "--out", str(out)]) == 2
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_a_run_ends_at_its_target_and_a_rehearsal_changes_no_number(run, out, tmp_path, capsys):
    first = json.loads(out.read_text())["history"][0]
    place = tmp_path / "reached.json"
    target = str(max(first["accuracy"], 1.0))
    assert first["accuracy"] >= 1.0
    arguments = [*TINY, "--target", target, "--no-rehearse", "--out", str(place)]
    assert time_to_accuracy.main(arguments) == 0
    assert "reached after 1 epoch, in" in capsys.readouterr().out
    result = json.loads(place.read_text())
    assert [(e["loss"], e["accuracy"]) for e in result["history"]] == [
        (first["loss"], first["accuracy"])
    ]


def test_a_target_that_is_not_reached_is_told(run, capsys):
    assert time_to_accuracy.main([*TINY, "--target", "100", "--no-rehearse"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"100 % not reached in 2 epochs and \d+\.\d\d s of training", text)


def test_a_loss_that_is_not_finite_ends_the_run(run, capsys):
    assert time_to_accuracy.main([*TINY, "--lr", "1e30", "--no-rehearse"]) == 2
    assert re.search(
        r"error: the loss of epoch \d is (nan|inf); try a lower learning rate",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--target 0", r"`target` \(=0.0\) must be above 0 and at most 100"),
        ("--epochs -1", r"`epochs` \(=-1\) must be at least 1, or 0 to follow `target`"),
        ("--warmup 1", r"`warmup` \(=1.0\) must be above 0 and below 1"),
        ("--schedule plateau", r"`schedule` \(='plateau'\) must be one of onecycle, cosine"),
        ("--dataset folder", r"`data_dir` \(=None\) must be the folder of your images"),
        ("--batch-size 2000", r"`batch_size` \(=2000\) must not exceed the number of training"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert time_to_accuracy.main([*TINY, *arguments.split()]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_help_names_the_marks_and_says_what_is_not_measured(capsys):
    with pytest.raises(SystemExit) as stop:
        time_to_accuracy.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert "in 7 minutes" in text
    assert "is not measured" in text


@pytest.mark.parametrize(
    ("target", "epochs"), [(90, 16), (94, 16), (94.5, 30), (95, 30), (96, 64), (97, 64)]
)
def test_epochs_follow_the_target(target, epochs):
    options = Options(target=target)
    options.check()
    assert options.epochs == options.recipe.training.epochs == epochs
    assert override(options, epochs=3).epochs == 3


def test_the_default_is_a_standard_resnet18():
    model = Options().recipe.resolve().model.build(10)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 11_173_962


def test_validation_images_of_a_folder_are_trained_on_and_test_images_are_not(tmp_path):
    for part, count in (("train", 12), ("test", 3)):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                level = 100 * (part == "test") + 40 * label + number
                Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(folder / f"{number}.png")
    options = override(
        Options(), dataset="folder", data_dir=tmp_path, resize=8, crop=8, batch_size=4
    )
    options.check()
    dataset, train = load(options.recipe)
    levels = sorted(train.images[:, 0, 0, 0].tolist())
    assert levels == [*range(12), *range(40, 52)]
    assert train.labels.tolist() == [int(level >= 40) for level in train.images[:, 0, 0, 0]]
    assert len(dataset.test) == 6


def test_the_operations_of_a_resnet18_are_the_known_ones():
    """He's network with the CIFAR stem has 555 million multiply-adds at 32 pixels."""
    model = create_model("resnet18", 10, stem="cifar")
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    first, whole = 3 * 64 * 9 * 32**2, 64 * 64 * 9 * 32**2
    stage = whole // 2 + 3 * whole + 64 * 128 * 16**2
    expected = first + 4 * whole + 3 * stage + 512 * 10
    assert expected == 555_422_720
    assert forward_flops(model, variables, (32, 32, 3)) == 2 * expected


def device(kind):
    return SimpleNamespace(device_kind=kind)


def test_peaks_are_those_of_whole_chips_in_bfloat16():
    assert peak_flops(device("NVIDIA A100-SXM4-40GB"), "bfloat16") == 312e12
    assert peak_flops(device("TPU v5 lite"), "bfloat16") == 197e12
    assert peak_flops(device("TPU v5 lite"), "float32") is None
    assert peak_flops(device("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), "bfloat16") is None
    assert peak_flops(jax.devices()[0], "bfloat16") is None
    assert all(1e14 < peak < 1e15 for peak in PEAK_FLOPS.values())


def test_a_target_that_is_not_reached_has_no_time():
    training = SimpleNamespace(
        device=device("unknown"), images_per_epoch=10, flops_per_image={8: 1}, compile_seconds={}
    )
    result = summarise(94.0, "bfloat16", training, [TimedEpoch(1, 8, 1.0, 0.5, 2.0, 93.99)])
    assert not result["reached"]
    assert result["seconds_to_target"] is None
    assert "94 % not reached in 1 epoch and 1.00 s" in describe(result)


def test_the_clock_has_all_training_and_the_last_evaluation():
    training = SimpleNamespace(
        device=device("NVIDIA A100-SXM4-40GB"),
        images_per_epoch=1000,
        flops_per_image={16: 1e9, 32: 4e9},
        compile_seconds={"evaluation": 7.0},
    )
    epochs = [TimedEpoch(1, 16, 1.0, 0.25, 2.0, 50.0), TimedEpoch(2, 32, 3.0, 0.5, 1.0, 94.0)]
    result = summarise(94.0, "bfloat16", training, epochs)
    assert result["reached"]
    assert result["seconds_to_target"] == 4.5
    assert result["training_seconds"] == 4.0
    assert result["evaluation_seconds"] == 0.75
    assert result["images_per_second"] == 500
    assert result["flops_per_second"] == 1.25e12
    assert result["share_of_peak"] == pytest.approx(1.25 / 312)
    text = describe(result)
    assert "94 % reached after 2 epochs, in 4.50 s: 4.00 s of training" in text
    assert "share of the chip's bfloat16 peak: 0.4% of 312 TFLOP/s" in text
