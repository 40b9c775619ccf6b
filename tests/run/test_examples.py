"""Streamed data give the numbers of resident data; what crosses to the device, and when."""

import dataclasses
import io
import itertools
import threading

import jax
import numpy as np
import pytest
from rich.console import Console

from resnet_jax.run import FitConfig, Reporter, Resident, Streamed, fit
from resnet_jax.run.examples import ahead
from resnet_jax.training import Batch, Engine, create_state, make_train_step

CONFIG = FitConfig(epochs=2, batch_size=48, eval_batch_size=64, seed=5)
STREAMED = dataclasses.replace(CONFIG, resident_gigabytes=0)


def run(task, config, run_dir=None, **options):
    reporter = Reporter(Console(file=io.StringIO()))
    return fit(task, config, run_dir=run_dir, reporter=reporter, **options)


@pytest.fixture(scope="module")
def resident(task):
    return run(task, CONFIG)


def assert_same(one, two):
    assert one.history == two.history
    for left, right in zip(jax.tree.leaves(one.state), jax.tree.leaves(two.state), strict=True):
        np.testing.assert_array_equal(left, right)


def test_streamed_data_give_the_same_bits(task, resident):
    assert_same(run(task, STREAMED), resident)


@pytest.mark.parametrize(("before", "source"), [(CONFIG, Resident), (STREAMED, Streamed)])
def test_a_run_goes_on_streamed_inside_an_epoch(
    task, resident, tmp_path, monkeypatch, before, source
):
    def two_steps(self, order, first=0, original=source.batches):
        yield from itertools.islice(original(self, order, first), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(source, "batches", two_steps)
        with pytest.raises(KeyboardInterrupt):
            run(task, dataclasses.replace(before, checkpoint_every=1), tmp_path)

    asked = []

    def noted(self, order, first=0, original=Streamed.batches):
        asked.append(first)
        return original(self, order, first)

    monkeypatch.setattr(Streamed, "batches", noted)
    assert_same(run(task, STREAMED, tmp_path, resume=True), resident)
    assert asked[0] in (1, 2)


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
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


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
