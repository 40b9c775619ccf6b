"""Contents of checkpoints of older formats; whole folders of them are in `test_older`."""

import numpy as np
import pytest

from resnet_jax.run.migrations import FORMAT_VERSION, migrate, shortest
from resnet_jax.training import Schedule


def first_format(steps=5, *, schedule=None):
    """Return what the first version kept of a run of two steps an epoch."""
    return {
        "format": 1,
        "identity": {"training_data": "9 images, 0", "batch_size": 4, "schedule": schedule},
        "history": {"minibatch_losses": [1.0] * steps},
        "learning_rates": [0.5, 0.25][: steps // 2],
        "plateau": {"learning_rate": 0.1},
    }


def test_rates_by_epoch_become_rates_by_step():
    migrated = migrate(first_format())
    assert migrated["format"] == FORMAT_VERSION
    assert migrated["learning_rates"] == [0.5, 0.5, 0.25, 0.25, 0.1]
    assert migrate(first_format(0))["learning_rates"] == []
    # The last epoch's evaluation was still to come.
    assert migrate(first_format(4) | {"learning_rates": [0.5]})["learning_rates"][2:] == [0.1, 0.1]


def test_the_factors_of_the_schedule_are_in_them():
    schedule = {"shape": "cosine", "total_steps": 8, "warmup_steps": 2}
    migrated = migrate(first_format(schedule=schedule))
    factors = np.asarray(Schedule(**schedule)(np.arange(5)), np.float32)
    expected = np.float32([0.5, 0.5, 0.25, 0.25, 0.1]) * factors
    np.testing.assert_array_equal(np.float32(migrated["learning_rates"]), expected)


def test_the_present_format_stays():
    progress = {"format": FORMAT_VERSION, "learning_rates": [0.1]}
    assert migrate(progress) == progress


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rates": None},
        {"learning_rates": ["x"]},
        {"learning_rates": [10**400]},
        {"plateau": None},
        {"history": {}},
        {"identity": {"training_data": "9 images"}},
        {"identity": {"training_data": "many", "batch_size": 4, "schedule": None}},
        {"identity": {"training_data": "9", "batch_size": 0, "schedule": None}},
        {"identity": {"training_data": "9", "batch_size": 4, "schedule": {"shape": "square"}}},
    ],
)
def test_what_is_not_of_its_format(change):
    with pytest.raises(ValueError, match=r".+"):
        migrate(first_format() | change)


def test_decimals_are_the_shortest():
    assert shortest(np.float32(0.1)) == 0.1
    assert shortest(np.float64(0.1) + np.float64(0.2)) == 0.1 + 0.2
    assert np.float32(shortest(np.float32(1 / 3))) == np.float32(1 / 3)
