"""Run folders of the first version: they go on to the same numbers, and their networks are used.

Each archive in `older/` holds a run folder and the log of the same version going on to the end.
`plateau` and `finetune` were begun with `--epochs 1`; `cosine` was stopped by SIGTERM after step 8,
and its checkpoint of step 6 was left out.
"""

import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_task import digits

from experiments import cifar_resnet18_modern, cifar_resnet34, export, finetune, predict
from resnet_jax.data import load_dataset
from resnet_jax.run import read_log
from resnet_jax.run.migrations import FORMAT_VERSION
from resnet_jax.storage import write_manifest

OLDER = Path(__file__).with_name("older")
NETWORK = (
    *("--variant", "resnet18", "--stem", "cifar", "--base-planes", "1"),
    *("--resize", "8", "--crop", "8", "--log-every", "1", "--epochs", "2"),
)
PLATEAU = (*NETWORK, "--dataset", "digits", "--batch-size", "256", "--lr", "0.05")
COSINE = (*PLATEAU, "--warmup-epochs", "0.5", "--ema-decay", "0.9", "--checkpoint-every", "2")
FINETUNE = (
    *(*NETWORK, "--batch-size", "16", "--weights", "weights.safetensors", "--data-dir", "photos"),
    *("--freeze", "layer1", "--layer-decay", "0.5"),
)
COMMANDS = {
    "plateau": (cifar_resnet34.main, PLATEAU),
    "cosine": (cifar_resnet18_modern.main, (*COSINE, "--augment", "crop:1")),
    "finetune": (finetune.main, FINETUNE),
}
ROOMS = ["untouched", "resumed"]


@dataclass
class Run:
    """A run of the first version.

    Attributes:
        name: name of the run.
        continued: the log of the first version up to the end.
    """

    name: str
    continued: list

    def command(self, folder, *options):
        """Go on with the run in a folder; return the exit code."""
        main, arguments = COMMANDS[self.name]
        return main([*arguments, "--run-dir", str(folder), "--resume", *options])


def write_images(folder):
    """Write the photographs of fine-tuning, and the test images of the recipes."""
    images = digits(1797)
    for label in range(3):
        place = folder / "photos" / str(label)
        place.mkdir(parents=True)
        for number, image in enumerate(images.images[images.labels == label][:20]):
            Image.fromarray(image[..., 0]).save(place / f"{number:02}.png")
    test = load_dataset("digits").test
    (folder / "test").mkdir()
    for number, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        Image.fromarray(image[..., 0]).save(folder / "test" / f"{number:03}-{label}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The working directory, with what the commands read."""
    folder = tmp_path_factory.mktemp("older")
    write_images(folder)
    shutil.copy(OLDER / "weights.safetensors", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module", params=COMMANDS)
def run(place, request):
    """A run in the folder `untouched/`, and resumed in the folder `resumed/`."""
    name = request.param
    for room in ROOMS:
        with tarfile.open(OLDER / f"{name}.tar.xz") as archive:
            archive.extractall(place / room, filter="data")
    run = Run(name, list(read_log(place / "resumed" / f"{name}-continued.jsonl")))
    assert run.command(place / "resumed" / name) == 0
    return run


def contents(folder):
    """Return all files below a folder, except for the lock, with their bytes."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def values(events, kind, name):
    return [event[name] for event in events if event["event"] == kind]


def test_it_goes_on_to_the_same_numbers(run, place):
    events = list(read_log(place / "resumed" / run.name / "metrics.jsonl"))
    for kind in ("step", "epoch", "test"):
        assert values(events, kind, "step") == values(run.continued, kind, "step")
    # Other processors add in another order.
    losses = values(run.continued, "step", "loss")
    np.testing.assert_allclose(values(events, "step", "loss"), losses, rtol=1e-3)
    for kind, name in (
        ("epoch", "train_accuracy"),
        ("epoch", "valid_accuracy"),
        ("test", "test_accuracy"),
    ):
        before, now = values(run.continued, kind, name), values(events, kind, name)
        # Two percent are one image of the smallest set that has more than six.
        np.testing.assert_allclose(now, before, atol=2)
    for kind in ("step", "epoch"):
        before = values(run.continued, kind, "learning_rate")
        now = values(events, kind, "learning_rate")
        np.testing.assert_array_equal(np.float32(now), np.float32(before))


def test_its_options_are_complete_afterwards(run, place):
    before = json.loads((place / "untouched" / run.name / "config.json").read_text())
    after = json.loads((place / "resumed" / run.name / "config.json").read_text())
    assert before.keys() < after.keys()
    assert (before["epochs"], after["epochs"]) == (2 if run.name == "cosine" else 1, 2)
    assert after["optimizer"] == "sgd"


@pytest.mark.parametrize("room", ROOMS)
def test_its_network_predicts(run, place, room, capsys):
    folder = place / room / run.name
    before = contents(folder)
    images = "photos" if run.name == "finetune" else "test"
    options = ["--run", str(folder), "--checkpoint", "last", "--format", "jsonl"]
    assert predict.main([images, *options]) == 0
    assert contents(folder) == before
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        assert sum(found["probability"] for found in line["predictions"]) <= 1 + 1e-6
    if run.name == "finetune":
        assert {found["class"] for found in lines[0]["predictions"]} == {"0", "1", "2"}
        return
    right = [line["predictions"][0]["class"] == Path(line["image"]).stem[-1] for line in lines]
    tested = values(read_log(folder / "metrics.jsonl"), "test", "test_accuracy")
    # The run of a cosine was stopped before its test.
    assert bool(tested) == (room == "resumed" or run.name == "plateau")
    if tested:
        assert 100 * np.mean(right) == pytest.approx(tested[-1], abs=0.3)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("kind", ["safetensors", "stablehlo"])
def test_its_network_is_exported(run, place, room, kind, tmp_path):
    folder, path = place / room / run.name, tmp_path / f"model.{kind}"
    before = contents(folder)
    assert export.main(["--run", str(folder), "--format", kind, "--out", str(path)]) == 0
    assert contents(folder) == before
    assert path.stat().st_size > 10_000


def errors(capsys, count=1):
    """Return what was said on standard error, except for what was found and read of the images."""
    said = capsys.readouterr().err.splitlines()
    found = ("photos has ", "train: ", "valid: ", "test: ", "Checking ", "Reading ")
    found += ("read the images that are kept", "kept the decoded images")
    said = [line for line in said if not line.startswith(found)]
    assert len(said) == count
    return said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lr", "0.06"), "`lr` was {lr} and is now 0.06"),
        (("--optimizer", "adamw", "--no-nesterov"), "`optimizer` was 'sgd' and is now 'adamw'"),
    ],
)
def test_another_run_is_refused(run, place, options, message, capsys):
    """By an option of the first version, and by one that it did not have."""
    folder = place / "untouched" / run.name
    before = contents(folder)
    assert run.command(folder, *options) == 2
    (said,) = errors(capsys)
    assert said.startswith(f"error: cannot resume from {folder}/config.json: `")
    assert message.format(lr=0.01 if run.name == "finetune" else 0.05) in said
    assert contents(folder) == before


def test_a_format_of_the_future_is_refused(run, place, tmp_path, capsys):
    shutil.copytree(place / "untouched" / run.name, tmp_path / "run")
    for checkpoint in (tmp_path / "run/checkpoints").iterdir():
        path = checkpoint / "progress.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT_VERSION + 1}))
        write_manifest(checkpoint)
    before = contents(tmp_path / "run")
    assert run.command(tmp_path / "run") == 2
    assert predict.main(["photos", "--run", str(tmp_path / "run")]) == 2
    for said in errors(capsys, 2):
        assert said.startswith(f"error: checkpoint {tmp_path / 'run/checkpoints'}")
        assert said.endswith(
            f"has format {FORMAT_VERSION + 1}, but this version of resnet_jax reads formats up to "
            f"{FORMAT_VERSION}; update resnet_jax"
        )
    assert contents(tmp_path / "run") == before
