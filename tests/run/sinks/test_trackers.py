"""Trackers: what Weights & Biases is told, by a stand-in with its documented behaviour."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from wandb_stand_in import WandB

from resnet_jax.run.sinks import TRACKERS, RunStart, Tracker, make_sink

STEP = {"event": "step", "step": 1, "epoch": 1, "loss": 0.5, "learning_rate": 0.1}


def tracker(folder, server, **options):
    return Tracker("wandb", folder, module=server, **options)


def test_what_the_service_is_told(tmp_path):
    server = WandB()
    sink = tracker(tmp_path, server, project="mine")
    sink.begin(RunStart("digits-18", "ab12", {"epochs": 2, "stem": "cifar"}))
    sink.log(STEP)
    sink.finish()
    config = {"epochs": 2, "stem": "cifar"}
    assert server.inits == [
        {"project": "mine", "id": "ab12", "name": "digits-18", "config": config}
    ]
    assert server.rows == {"ab12": {0: {"global_step": 1, "loss": 0.5, "learning_rate": 0.1}}}
    assert server.axes == {"global_step": None, "*": "global_step"}


def test_a_figure_is_an_image(tmp_path):
    server = WandB()
    sink = tracker(tmp_path, server)
    sink.begin(RunStart("run", "ab12"))
    sink.log(STEP)
    sink.figure("confusion", Figure(figsize=(2, 1), dpi=50), 1)
    sink.finish()
    image = server.rows["ab12"][0]["confusion"]
    assert image.data.shape == (50, 100, 4)
    assert image.data.dtype == np.uint8


def test_a_figure_of_an_event_that_is_stored_is_passed_over(tmp_path):
    server = WandB()
    for _ in range(2):
        sink = tracker(tmp_path, server)
        sink.begin(RunStart("run", "ab12"))
        sink.log(STEP)
        sink.figure("confusion", Figure(figsize=(2, 1)), 1)
        sink.finish()
    assert len(server.rows["ab12"]) == 1
    assert server.refused == []


def test_an_event_without_numbers_has_no_row(tmp_path):
    server = WandB()
    sink = tracker(tmp_path, server)
    sink.begin(RunStart("run", "ab12"))
    sink.log({"event": "another", "step": 1})
    sink.log(STEP)
    sink.finish()
    assert list(server.rows["ab12"]) == [1]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    needs = rf"^`track` \(={name}\) needs the package {name}"
    message = rf"{needs}: pip install 'flax-resnet\[{name}\]'$"
    with pytest.raises(ValueError, match=message):
        make_sink(name, tmp_path)
