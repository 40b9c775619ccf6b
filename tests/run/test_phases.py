"""Images of other sizes in other epochs: one compilation a size, and exact wherever it resumes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from photo_task import photo_task
from pictures import write_folder
from tiny_task import TRANSFORM, StopAt, assert_trees_equal, digits, quiet_reporter, tiny_task

import resnet_jax as rj
from resnet_jax.data import RandomResizedCrop
from resnet_jax.run import FitConfig, IdentityError, Phase, RunFolder, fit, read_log
from resnet_jax.training import make_optimizer

CONFIG = FitConfig(epochs=4, batch_size=16, eval_batch_size=16, seed=5, checkpoint_every=1)
"""Three steps an epoch."""
SIDES = (6, 6, 8, 8)
"""Height and width of the images in each epoch."""


class Pooled(nn.Module):
    """A network of images of any size, quick to compile."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3))(images)
        x = rj.BatchNorm()(x, train)
        return nn.Dense(self.num_classes)(nn.relu(x).mean((1, 2)))


class Prepares:
    """What prepares batches of each size, and the sizes of the programs that were traced."""

    def __init__(self, kind):
        self.kind, self.traced = kind, []

    def __call__(self, side):
        def prepare(images, labels, keys):
            self.traced.append(side)
            if self.kind == "streamed":
                assert images.shape[1:3] == (side, side)
                return images.astype(jnp.float32) / 255 - 0.5, labels
            transform = dataclasses.replace(TRANSFORM, resize=side + 2, crop=side)
            return transform.random(images, keys), labels

        return prepare


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos") / "all", per_class=32)


@pytest.fixture(params=["resident", "in memory", "streamed"])
def make(request, root):
    """Return what makes the task, what prepares its batches, and how it is trained."""
    prepares = Prepares(request.param)
    resident = 2.0 if request.param == "resident" else 0.0
    config = dataclasses.replace(CONFIG, resident_gigabytes=resident)

    def make(firsts=(0, 2)):
        phases = [
            Phase(first, side, prepares(side)) for first, side in zip(firsts, (6, 8), strict=True)
        ]
        if request.param == "streamed":
            task = photo_task(root, random=RandomResizedCrop(size=8))
            return dataclasses.replace(task, model=Pooled(), prepare=phases)
        return tiny_task(
            model=Pooled(),
            tx=make_optimizer(0.05),
            train=digits(52),
            valid=digits(20, first=52),
            prepare=phases,
        )

    return make, prepares, config


def test_each_size_is_compiled_once_and_a_resumed_run_is_the_same(make, tmp_path):
    make, prepares, config = make
    reporter = quiet_reporter()
    whole = fit(make(), config, folder=RunFolder(tmp_path / "whole"), reporter=reporter)
    assert prepares.traced == [6, 8]
    assert tuple(whole.image_sizes) == SIDES
    events = read_log(tmp_path / "whole" / "metrics.jsonl")
    assert tuple(e["image_size"] for e in events if e["event"] == "epoch") == SIDES
    printed = reporter.console.file.getvalue()
    assert "Epoch: 002/004 | 6 px | Train: " in printed
    assert "Epoch: 003/004 | 8 px | Train: " in printed
    # Inside the first size, at its end, and inside the second.
    folder = tmp_path / "run"
    for step in (2, 6, 8):
        run = RunFolder(folder, resume=folder.exists())
        with pytest.raises(KeyboardInterrupt):
            fit(make(), config, folder=run, sinks=[StopAt(step)], reporter=quiet_reporter())
    before = len(prepares.traced)
    resumed = fit(make(), config, folder=RunFolder(folder, resume=True), reporter=quiet_reporter())
    # What is over is not compiled again.
    assert prepares.traced[before:] == [8]
    assert resumed.history == whole.history
    assert list(resumed.image_sizes) == list(whole.image_sizes)
    assert_trees_equal(resumed.state, whole.state)


def test_other_sizes_are_not_resumed(make, tmp_path):
    make, _, config = make
    config = dataclasses.replace(config, epochs=1)
    fit(make(), config, folder=RunFolder(tmp_path), reporter=quiet_reporter())
    with pytest.raises(IdentityError, match=r"`image_sizes` was \[\[0, 6\], \[2, 8\]\] and is now"):
        fit(
            make((0, 3)), config, folder=RunFolder(tmp_path, resume=True), reporter=quiet_reporter()
        )


@pytest.mark.parametrize("firsts", [(1, 2), (0, 0)])
def test_phases_out_of_order(firsts):
    phases = [Phase(first, 8, lambda *batch: batch[:2]) for first in firsts]
    with pytest.raises(ValueError, match="they must begin with 0 and ascend"):
        fit(tiny_task(model=Pooled(), prepare=phases), CONFIG, reporter=quiet_reporter())


def test_one_size_is_no_phase():
    result = fit(
        tiny_task(model=Pooled()), dataclasses.replace(CONFIG, epochs=1), reporter=quiet_reporter()
    )
    assert list(result.image_sizes) == []
    assert np.isfinite(jax.tree.leaves(result.state)[0]).all()
