"""The torch side of the curves: our parameters, a log that compares, no option ignored."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from experiments import compare
from experiments.benchmarks import torch_curves
from experiments.benchmarks.torch_cifar import Batches, CifarResNet, shift_and_mirror
from resnet_jax import create_model
from resnet_jax.data import Arrays, load_dataset
from resnet_jax.models import VARIANTS, from_torch


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes with 30 colour images of 32 pixels each."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 10)):
        for name in "ab":
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(("variant", "blocks"), torch_curves.BLOCKS.items())
def test_the_networks_have_our_parameters(variant, blocks):
    network = CifarResNet(blocks, 10)
    count = sum(value.numel() for value in network.parameters())
    assert count == VARIANTS[variant].parameters


def test_the_network_computes_what_ours_does():
    torch.manual_seed(0)
    network = CifarResNet(3, 10).eval()
    with torch.no_grad():
        for name, value in network.named_buffers():
            if "running" in name:
                value.uniform_(0.5, 1.5)
    weights = {}
    for name, value in network.state_dict().items():
        head, *rest = name.split(".")
        if head == "layers":
            index = int(rest[0])
            name = ".".join((f"layer{index // 3 + 1}", str(index % 3), *rest[1:]))
        weights[name] = value.numpy()
    model = create_model("resnet20", num_classes=10)
    variables = from_torch(model, weights)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = network(images).numpy()
    logits = model.apply(variables, images.permute(0, 2, 3, 1).numpy(), train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_batches_are_shifted_mirrored_and_complete():
    torch.manual_seed(0)
    plain = replace(load_dataset("digits"), mean=(0.0,) * 3, std=(1.0,) * 3)
    images = np.zeros((10, 32, 32, 3), np.uint8)
    images[:] = 255 * (np.arange(32) < 16)[None, None, :, None]  # bright on the left
    labels = np.arange(10, dtype=np.int32)
    batches = Batches(Arrays(images, labels), plain, 5)
    found = list(batches.train())
    assert batches.steps == len(found) == 2
    assert sorted(torch.cat([labels for _, labels in found]).tolist()) == list(range(10))
    sides = {bool(image[0, 16, 2:6].any()) for images, _ in found for image in images}
    assert sides == {True, False}
    (whole, _), (rest, _) = batches.test()
    assert torch.equal(torch.cat([whole, rest]), torch.from_numpy(images).permute(0, 3, 1, 2) / 255)


def test_a_run_that_compares_with_ours(photos, tmp_path, capsys):
    options = ["--dataset", "folder", "--data-dir", str(photos), "--epochs", "4"]
    options += ["--batch-size", "9", "--run-dir", "torch"]
    assert torch_curves.main(options) == 0
    log = [json.loads(line) for line in (tmp_path / "torch/metrics.jsonl").read_text().splitlines()]
    rates = [event["learning_rate"] for event in log if event["event"] == "epoch"]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.001])
    report = json.loads((tmp_path / "torch/report.json").read_text())
    assert len(report["valid_accuracy"]) == 4
    assert compare.main(["torch", "--out", "both"]) == 0
    row = json.loads((tmp_path / "both/comparison.json").read_text())["runs"]["torch"]
    assert row["finished"]
    assert row["test_accuracy"] == report["test_accuracy"]
    # The same folder is not used twice.
    assert torch_curves.main(options) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--ema-decay 0.9", "`ema_decay` (=0.9) is not an option of the torch side"),
        ("--variant resnet18", "`variant` (='resnet18') must be one of resnet20, resnet32"),
        ("--epochs 5", "`milestones` (=(0.5, 0.75)) must be whole epochs of `epochs` (=5)"),
        ("--dataset digits", "the images must be colour images"),
    ],
)
def test_what_it_does_not_honour(options, message, tmp_path, capsys):
    assert torch_curves.main(["--epochs", "4", *options.split(), "--run-dir", "run"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_image_is_one_of_its_cuts():
    torch.manual_seed(0)
    images = torch.arange(6 * 3 * 4 * 5, dtype=torch.float32).reshape(6, 3, 4, 5)
    found = shift_and_mirror(images, padding=2)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for image, source in zip(found, padded, strict=True):
        cuts = [source[:, y : y + 4, x : x + 5] for y in range(5) for x in range(5)]
        assert any(torch.equal(image, cut) for cut in (*cuts, *(cut.flip(2) for cut in cuts)))
    # Each is shifted by its own.
    assert len({tuple((image != 0).sum((1, 2)).tolist()) for image in found}) > 1
