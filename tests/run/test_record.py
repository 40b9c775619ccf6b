"""The record of a run: exact through JSON, and the whole log."""

import json

import pytest

import resnet_jax as rj
from resnet_jax.run import History, RunRecord

CONTROLLER = rj.ReduceLROnPlateau()


def record(steps=5, epochs=1):
    """Three steps an epoch."""
    values = RunRecord(CONTROLLER.init(0.1), History([], [], []))
    for step in range(steps):
        values.history.minibatch_losses.append(1 / (step + 3))
        if (step + 1) % 3 == 0 and values.epoch < epochs:
            values.seconds += 0.1
            values.end_epoch(10.0, 20.0)
    return values


@pytest.mark.parametrize(("steps", "epochs"), [(0, 0), (2, 0), (3, 0), (3, 1), (5, 1), (6, 2)])
def test_json_is_exact(steps, epochs):
    before = record(steps, epochs)
    after = RunRecord.from_json(json.loads(json.dumps(before.to_json())), CONTROLLER, 3)
    assert after.to_json() == before.to_json()
    assert (after.step, after.epoch) == (steps, epochs)
    assert [*after.events(3)] == [*before.events(3)]


def test_events():
    events = [(event["event"], event["step"], event["epoch"]) for event in record().events(3)]
    assert events == [
        *[("step", step, 1) for step in (1, 2, 3)],
        ("epoch", 3, 1),
        *[("step", step, 2) for step in (4, 5)],
    ]


def test_the_first_of_the_best_is_the_best():
    values = record(9, 3)
    assert (values.best_epoch, values.best_step) == (1, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"history": {"minibatch_losses": [1.0] * 7, "train_accuracy": [1], "valid_accuracy": [1]}},
        {"history": {"minibatch_losses": [1.0], "train_accuracy": [1], "valid_accuracy": [1]}},
        {"learning_rates": []},
        {"history": []},
        {"plateau": {"learning_rate": [1, 2]}},
        {"seconds": 10**400},
        {"best_epoch": "x"},
    ],
)
def test_what_is_no_record(change):
    with pytest.raises(ValueError, match=r".+"):
        RunRecord.from_json({**record().to_json(), **change}, CONTROLLER, 3)
