"""Streamed data give the numbers of resident data; what crosses to the device, and when."""

import dataclasses
import threading

import jax
import numpy as np
import pytest
from tiny_task import assert_trees_equal, quiet_reporter

from resnet_jax.run import FitConfig, Resident, RunFolder, Sink, Streamed, fit
from resnet_jax.run.examples import ahead
from resnet_jax.training import Batch, Engine, create_state, make_train_step

RESIDENT = FitConfig(epochs=2, batch_size=48, eval_batch_size=64, seed=5)
STREAMED = dataclasses.replace(RESIDENT, resident_gigabytes=0)
"""Three steps an epoch."""


def run(task, config, folder=None, *, reporter=None, **options):
    return fit(task, config, folder=folder, reporter=reporter or quiet_reporter(), **options)


def assert_same(one, two):
    assert one.history == two.history
    assert_trees_equal(one.state, two.state)


@pytest.fixture(scope="module")
def resident(task):
    return run(task, RESIDENT)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_streamed_data_give_the_same_bits(task, resident):
    assert_same(run(task, STREAMED), resident)
    assert not threads()


class StopAt(Sink):
    """Ends the run as a keyboard would, when the log says that a step is done."""

    def __init__(self, step):
        self.step, self.streaming = step, None

    def log(self, event):
        if event["step"] == self.step:
            self.streaming = bool(threads())
            raise KeyboardInterrupt


@pytest.mark.parametrize("before", [RESIDENT, STREAMED], ids=["resident", "streamed"])
@pytest.mark.parametrize("step", [2, 5])
def test_a_run_goes_on_streamed_inside_an_epoch(task, resident, tmp_path, before, step):
    stop, config = StopAt(step), dataclasses.replace(before, checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        run(task, config, RunFolder(tmp_path), sinks=[stop])
    assert stop.streaming == (before is STREAMED)
    assert not threads()

    reporter = quiet_reporter()
    resumed = run(task, STREAMED, RunFolder(tmp_path, resume=True), reporter=reporter)
    assert_same(resumed, resident)
    assert f"Resuming after step {step - 1}" in reporter.console.file.getvalue()


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_devices_share_out_a_streamed_batch(images, parallel):
    engine = Engine.create(parallel)
    batch = next(Streamed(images, engine).batches(np.arange(32).reshape(2, 16)))
    assert len(batch.images.sharding.device_set) == 8
    np.testing.assert_array_equal(np.asarray(batch.labels).reshape(-1), images.labels[:16])


def test_the_last_rows_come_from_a_step_on(images):
    engine = Engine.create("jit", devices=jax.devices()[:1])
    order = np.arange(12).reshape(4, 3)[::-1]
    batches = list(Streamed(images, engine).batches(order, 2))
    assert len(batches) == 2
    np.testing.assert_array_equal(batches[0].images, images.images[[3, 4, 5]])
    np.testing.assert_array_equal(batches[1].labels, images.labels[[0, 1, 2]])


def test_it_stays_a_few_items_ahead_and_ends_with_its_generator():
    made = []
    items = ahead(lambda item: made.append(item) or item, range(100), depth=2)
    assert next(items) == 0
    assert next(items) == 1
    items.close()
    assert len(made) <= 4
    assert not threads()


def test_an_error_is_raised_at_its_item():
    items = ahead(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(items), next(items)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_resident_steps_move_nothing_and_give_their_state_away(task):
    """After the first step no array crosses between host and device, and buffers are reused."""
    engine = Engine.create("jit", devices=jax.devices()[:1])
    state = engine.replicate(create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1)))
    step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare)
    key = engine.share(jax.random.key(1))
    order = np.arange(144).reshape(3, 48)
    losses = []
    for number, examples in enumerate(Resident(task.train, engine).batches(order)):
        before = state
        with jax.transfer_guard("allow" if number == 0 else "disallow"):
            state, metrics = step(state, examples, key)
        losses.append(metrics["loss"])
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    assert len({float(loss) for loss in losses}) == 3

    host = Batch(task.train.images[:48], task.train.labels[:48])
    with jax.transfer_guard("disallow"), pytest.raises(Exception, match="Disallowed"):
        step(state, host, key)
