"""What is logged is what was used, whatever sets the learning rate."""

import dataclasses

import numpy as np
import optax
import pytest
from tiny_task import (
    Falling,
    assert_trees_equal,
    center_crop,
    first_logit,
    quiet_reporter,
    tiny_task,
)

import resnet_jax as rj
from resnet_jax.run import FitConfig, RunFolder, fit, read_log
from resnet_jax.training import Schedule, make_optimizer

CONFIG = FitConfig(epochs=3, batch_size=48, eval_batch_size=64, seed=5, checkpoint_every=2)
"""Three steps an epoch."""
OWN = optax.linear_schedule(0.5, 0.25, 8)


def run(task, path=None, *, config=CONFIG, resume=False):
    folder = None if path is None else RunFolder(path, resume=resume)
    return fit(task, config, folder=folder, reporter=quiet_reporter())


def falling(**changes):
    plain = {"tx": make_optimizer(0.5, momentum=0.0), "controller": None}
    task = tiny_task(model=Falling(), loss_fn=first_logit, prepare=center_crop)
    return dataclasses.replace(task, **plain | changes)


CASES = {
    "constant": (falling(), [0.5] * 9),
    # The accuracy never changes, so that every epoch but the first is a bad one.
    "controller": (
        falling(controller=rj.ReduceLROnPlateau(factor=0.5, patience=0)),
        [0.5] * 6 + [0.25] * 3,
    ),
    "schedule": (
        falling(schedule=Schedule("constant", 5, 4)),
        [0.5 * Schedule("constant", 5, 4)(step) for step in range(9)],
    ),
    "both": (
        falling(
            controller=rj.ReduceLROnPlateau(factor=0.5, patience=0),
            schedule=Schedule("constant", 9, 8),
        ),
        [(0.5 if step < 6 else 0.25) * Schedule("constant", 9, 8)(step) for step in range(9)],
    ),
    "own schedule": (
        falling(tx=optax.inject_hyperparams(optax.sgd)(learning_rate=OWN)),
        [OWN(step) for step in range(9)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_logged_is_what_was_used(tmp_path, name):
    task, expected = CASES[name]
    result = run(task, tmp_path / "whole")
    events = list(read_log(tmp_path / "whole/metrics.jsonl"))
    logged = [event["learning_rate"] for event in events if event["event"] == "step"]
    np.testing.assert_array_equal(np.float32(logged), np.float32(expected))
    losses = [*result.history.minibatch_losses, float(result.state.params["logits"][0])]
    np.testing.assert_allclose(-np.diff(losses), logged, rtol=1e-6)
    # That of an epoch is the one of its last step.
    by_epoch = [event["learning_rate"] for event in events if event["event"] == "epoch"]
    assert by_epoch == result.learning_rates == logged[2::3]

    run(task, tmp_path / "parts", config=dataclasses.replace(CONFIG, epochs=1))
    resumed = run(task, tmp_path / "parts", resume=True)
    assert resumed.history == result.history
    assert resumed.learning_rates == result.learning_rates
    assert_trees_equal(resumed.state, result.state)


@pytest.mark.parametrize(
    ("name", "value"),
    [("controller", rj.ReduceLROnPlateau()), ("schedule", Schedule("cosine", 9))],
)
def test_two_that_set_it(tmp_path, name, value):
    """An optimizer with its own schedule would not listen to anything else."""
    task, _ = CASES["own schedule"]
    message = rf"`{name}` would have no effect on the learning rate, because the optimizer `tx` has"
    with pytest.raises(ValueError, match=message) as error:
        run(dataclasses.replace(task, **{name: value}), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_another_rate_is_another_run(tmp_path):
    run(falling(), tmp_path, config=dataclasses.replace(CONFIG, epochs=1))
    other = falling(tx=make_optimizer(0.25, momentum=0.0))
    with pytest.raises(ValueError, match=r"`initial_learning_rate` was '0\.5' and is now '0\.25'"):
        run(other, tmp_path, resume=True)
    other = falling(schedule=Schedule("cosine", 9))
    with pytest.raises(ValueError, match=r"`schedule` was None and is now \{"):
        run(other, tmp_path, resume=True)
