"""What an epoch's time is made of: every second counts once, and resumed runs add up."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_task import Small, StopAt, center_crop, quiet_reporter, tiny_task

from resnet_jax.run import FitConfig, RunFolder, RunRecord, fit, read_log
from resnet_jax.run.clock import PARTS, Stopwatch

CONFIG = FitConfig(epochs=2, batch_size=48, eval_batch_size=64, log_every=1, seed=5)
"""Three steps an epoch."""


class Clock:
    """A clock that goes on by one second whenever it is read."""

    def __init__(self):
        self.seconds = -1

    def __call__(self):
        self.seconds += 1
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.fixture(scope="module")
def small():
    return tiny_task(model=Small(), prepare=center_crop)


def run(task, folder=None, *, resume=False, sinks=(), **changes):
    config = dataclasses.replace(CONFIG, **changes)
    folder = None if folder is None else RunFolder(folder, resume=resume)
    return fit(task, config, folder=folder, sinks=sinks, reporter=quiet_reporter())


def epochs_of(folder):
    """Return the parts of each epoch in a log, and the seconds between their ends."""
    events = [event for event in read_log(folder / "metrics.jsonl") if event["event"] == "epoch"]
    parts = [{name: event[f"{name}_seconds"] for name in PARTS} for event in events]
    return parts, np.diff([0.0, *(event["seconds"] for event in events)])


def test_a_part_inside_another_counts_once():
    clock = Clock()
    watch = Stopwatch(now=clock)
    with watch.part("valid_evaluation"):
        clock.sleep(100)
        with watch.part("checkpoints"):
            clock.sleep(1000)
        clock.sleep(200)
    parts = watch.lap()
    assert sum(parts.values()) == clock.seconds == 1305
    assert (parts["valid_evaluation"], parts["checkpoints"]) == (302, 1001)
    assert sum(watch.lap().values()) == 1


def test_a_failure_ends_a_part():
    watch = Stopwatch(now=Clock())
    with pytest.raises(ZeroDivisionError), watch.part("steps"):
        raise ZeroDivisionError
    before = watch.parts["steps"]
    assert watch.parts["steps"] == before


def test_only_the_wait_for_an_item_counts():
    clock = Clock()
    watch = Stopwatch(now=clock)

    def items():
        for item in "ab":
            clock.sleep(10)
            yield item

    seen = []
    for item in watch.waits("data", items()):
        clock.sleep(100)
        seen.append(item)
    assert seen == ["a", "b"]
    assert 20 <= watch.parts["data"] < 30


def test_the_parts_of_an_epoch_are_its_seconds(small, tmp_path):
    result = run(small, tmp_path, checkpoint_every=2)
    parts, seconds = epochs_of(tmp_path)
    assert parts == list(result.epoch_parts)
    assert [sum(part.values()) for part in parts] == pytest.approx(list(seconds), rel=0.01)
    for part in parts:
        assert all(value > 0 for value in part.values())


def test_what_a_run_does_not_do_takes_no_time(small):
    result = run(small, train_accuracy="none")
    for parts in result.epoch_parts:
        assert parts["train_evaluation"] == parts["checkpoints"] == 0
        assert min(parts[name] for name in ("data", "steps", "valid_evaluation")) > 0


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_resumed_run_adds_to_what_was_spent_before(step, small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path, checkpoint_every=1, sinks=[StopAt(step)])
    last = max(tmp_path.glob("checkpoints/*/progress.json"), key=lambda path: int(path.parts[-2]))
    saved = json.loads(last.read_text())
    assert saved["parts"]["steps"] > 0 or saved["step"] == 3
    run(small, tmp_path, resume=True)
    parts, seconds = epochs_of(tmp_path)
    assert [sum(part.values()) for part in parts] == pytest.approx(list(seconds), rel=0.01)
    for name in PARTS:
        assert parts[saved["epoch"]][name] >= saved["parts"][name]


def test_an_epoch_that_was_not_measured_says_nothing(small, tmp_path):
    """Of a run that an older version began."""
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path, checkpoint_every=1, sinks=[StopAt(5)])
    store = RunFolder(tmp_path).checkpoints
    values = store.read_progress(4)
    del values["parts"], values["epoch_parts"]

    record = RunRecord.from_json(values, small.controller, 3)
    assert (record.epoch_parts, record.parts) == ([{}], {})
    epoch = next(event for event in record.events() if event["event"] == "epoch")
    assert [name for name in epoch if name.endswith("seconds")] == ["seconds"]
