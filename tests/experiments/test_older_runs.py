"""Run folders of the first version: they are read, and go on to the same numbers."""

import json
import tarfile
from pathlib import Path

import pytest

from experiments.flat import flatten, override
from experiments.load_run import open_run
from experiments.recipe import Recipe
from experiments.run_log import differences, read_run
from experiments.train import train
from resnet_jax.run import IdentityError

OLDER = Path(__file__).parents[1] / "run" / "older"


@pytest.fixture
def folder(request, tmp_path):
    with tarfile.open(OLDER / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / request.param


def config_of(folder, **changes):
    saved = json.loads((folder / "config.json").read_text())
    return override(Recipe(), **saved | {"augment": tuple(saved["augment"])} | changes)


@pytest.mark.parametrize("folder", ["plateau"], indirect=True)
def test_a_run_goes_on(folder):
    options = {"run_dir": folder, "resume": True, "epochs": 2}
    with pytest.raises(IdentityError, match="`optimizer` was 'sgd' and is now 'lamb'"):
        train(config_of(folder, **options, optimizer="lamb"))
    history, _ = train(config_of(folder, **options), evaluate=lambda *_, **__: None)
    lines = (folder.parent / "plateau-continued.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    # It had another number of devices, and so another order of sums.
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert history.minibatch_losses == pytest.approx(losses, rel=1e-5)
    assert history.valid_accuracy == [e["valid_accuracy"] for e in events if e["event"] == "epoch"]
    # The options that are new are written down.
    assert json.loads((folder / "config.json").read_text()).keys() == flatten(Recipe()).keys()


@pytest.mark.parametrize("folder", ["finetune"], indirect=True)
def test_a_fine_tuned_network_is_read(folder):
    run = open_run(folder)
    assert run.step == 3
    assert run.data.class_names == ("0", "1", "2")
    assert run.transform.source == (8, 8)


@pytest.mark.parametrize("folder", ["cosine"], indirect=True)
def test_a_run_is_compared(folder):
    run = read_run(folder, "older")
    assert len(run.steps) == 8
    assert differences([run, read_run(folder, "again")]) == {}
