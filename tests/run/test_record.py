"""The record of a run: exact through JSON, and the whole log."""

import json

import pytest

import resnet_jax as rj
from resnet_jax.run import RunRecord

CONTROLLER = rj.ReduceLROnPlateau()


def record(steps=5, epochs=1, *, controller=CONTROLLER):
    """Return the record of a run of three steps an epoch."""
    plateau = None if controller is None else controller.init(0.1)
    values = RunRecord(3, plateau)
    for step in range(1, steps + 1):
        values.add_step(1 / (step + 2), 0.1 / step)
        if step % 3 == 0 and values.epoch < epochs:
            values.seconds += 0.1
            values.add_epoch(10.0, 20.0)
    return values


def through_json(values, controller=CONTROLLER):
    saved = json.loads(json.dumps(values.to_json(), allow_nan=False))
    return RunRecord.from_json(saved, controller, values.steps_per_epoch)


@pytest.mark.parametrize("controller", [CONTROLLER, None])
@pytest.mark.parametrize(("steps", "epochs"), [(0, 0), (2, 0), (3, 0), (3, 1), (5, 1), (6, 2)])
def test_json_is_exact(steps, epochs, controller):
    before = record(steps, epochs, controller=controller)
    after = through_json(before, controller)
    assert after.to_json() == before.to_json()
    assert (after.step, after.epoch) == (steps, epochs)
    assert [*after.events()] == [*before.events()]


def test_the_state_of_the_controller_is_exact():
    """Before its first epoch, when its best value is infinite, and after."""
    values = record()
    for metric in (None, 1 / 3, 0.1):
        if metric is not None:
            values.plateau = CONTROLLER.update(values.plateau, metric)
        after = through_json(values)
        for name, leaf in vars(values.plateau).items():
            read = getattr(after.plateau, name)
            assert (read, read.dtype, read.shape) == (leaf, leaf.dtype, ())


def test_without_a_controller_there_is_no_state_of_one():
    values = record(controller=None)
    assert values.to_json()["plateau"] is None
    assert through_json(values, None).plateau is None


def test_events():
    values = record()
    events = [(event["event"], event["step"], event["epoch"]) for event in values.events()]
    assert events == [
        *[("step", step, 1) for step in (1, 2, 3)],
        ("epoch", 3, 1),
        *[("step", step, 2) for step in (4, 5)],
    ]
    step, epoch = [*values.events()][2:4]
    assert (step["loss"], step["learning_rate"]) == (1 / 5, 0.1 / 3)
    assert (epoch["train_accuracy"], epoch["valid_accuracy"]) == (10.0, 20.0)
    assert (epoch["learning_rate"], epoch["seconds"]) == (0.1 / 3, 0.1)


def test_a_run_may_take_no_training_accuracy():
    values = RunRecord(3)
    for step in range(1, 4):
        values.add_step(1 / step, 0.1, correct=step)
    event = values.add_epoch(None, 60.0)
    assert "train_accuracy" not in event
    assert [*through_json(values, None).events()] == [*values.events()]
    assert through_json(values, None).running_correct == 6


def test_events_are_those_that_were_returned():
    values, returned = RunRecord(3), []
    for step in range(1, 7):
        returned.append(values.add_step(1 / step, 0.1))
        if step % 3 == 0:
            returned.append(values.add_epoch(50.0, 60.0))
    assert returned == [*values.events()]


def test_the_rate_of_an_epoch_is_that_of_its_last_step():
    assert record(5, 1).epoch_learning_rates == [0.1 / 3]
    assert record(6, 1).epoch_learning_rates == [0.1 / 3]
    assert record(6, 2).epoch_learning_rates == [0.1 / 3, 0.1 / 6]


def test_the_first_of_the_best_is_the_best():
    values = record(9, 3)
    assert (values.best_epoch, values.best_step) == (1, 3)


def test_places():
    assert record().place(1) == "step 1 (epoch 1, batch 1 of 3)"
    assert record().place(6) == "step 6 (epoch 2, batch 3 of 3)"


@pytest.mark.parametrize(
    "change",
    [
        {"history": {"minibatch_losses": [1.0] * 7, "train_accuracy": [1], "valid_accuracy": [1]}},
        {"history": {"minibatch_losses": [1.0], "train_accuracy": [1], "valid_accuracy": [1]}},
        {
            "history": {
                "minibatch_losses": [1.0] * 5,
                "train_accuracy": [1, 2],
                "valid_accuracy": [1],
            }
        },
        {"learning_rates": []},
        {"epoch_seconds": []},
        {"history": []},
        {"plateau": None},
        {"plateau": {"learning_rate": [1, 2]}},
        {"seconds": 10**400},
        {"best_epoch": "x"},
    ],
)
def test_what_is_no_record(change):
    with pytest.raises(ValueError, match=r".+"):
        RunRecord.from_json({**record().to_json(), **change}, CONTROLLER, 3)
