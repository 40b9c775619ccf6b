"""The examples of the documentation run, and what they train learns."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks" / "examples"
LONGEST = 85  # lines
TRAINED = ("linen_training", "nnx_training", "plain_apply")


def run(name, capsys):
    """Return the names that an example defines, and what it prints."""
    names = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return names, capsys.readouterr().out


def test_every_example_is_short_and_says_what_it_shows():
    examples = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert examples == sorted([*TRAINED, "new_block", "segmentation", "simclr"])
    for name in examples:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert text.startswith('"""'), name
        assert len(text.splitlines()) <= LONGEST, name


@pytest.mark.parametrize("name", TRAINED)
def test_training_in_three_ways(name, capsys):
    names, printed = run(name, capsys)
    assert names["accuracy"] > 0.8
    assert names["losses"][-1] < 0.5 * names["losses"][0]
    assert f"{names['accuracy']:.1%}" in printed


def test_new_block(capsys):
    names, printed = run("new_block", capsys)
    assert f"{names['row'].parameters:,} parameters in bn1, conv1, fc, layer1_0" in printed
    assert names["losses"][-1] < 0.5 * names["losses"][0]
    assert "layer2.0.conv1.weight layer2.0.bn1.weight layer2.0.conv2.weight" in printed


def test_segmentation(capsys):
    names, printed = run("segmentation", capsys)
    assert min(names["ious"].values()) > 0.5
    assert "IoU of square" in printed


def test_contrastive_training_is_that_of_one_device(capsys):
    names, printed = run("simclr", capsys)
    assert f"{jax.device_count()} devices" in printed
    assert jax.device_count() > 1
    losses = names["losses"]
    assert losses[-1] < 0.9 * losses[0]
    alone = names["train"](jax.devices()[:1], steps=3)
    np.testing.assert_allclose(losses[:3], alone, rtol=1e-4)
