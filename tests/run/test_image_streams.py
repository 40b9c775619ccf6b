"""Images that are read in the course of training: any interruption, any workers, the same bits."""

import dataclasses
import multiprocessing

import jax
import numpy as np
import pytest
from photo_task import CONFIG, fit_photos, photo_task
from pictures import write_folder
from tiny_task import StopAt, quiet_reporter

from resnet_jax.data import Arrays
from resnet_jax.run import IdentityError, fit
from resnet_jax.run.examples import FromFiles, Streamed
from resnet_jax.training import Engine


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos") / "all", per_class=32)


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """Return the result of a run that was not stopped."""
    return fit_photos(tmp_path_factory.mktemp("whole"), root)


def assert_same(one, other):
    assert one[:2] == other[:2]
    for left, right in zip(one[2], other[2], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("before", "after", "step"), [(0, 1, 2), (2, 0, 5)])
def test_a_run_goes_on_inside_an_epoch_with_other_workers(
    root, whole, tmp_path, before, after, step
):
    with pytest.raises(KeyboardInterrupt):
        fit_photos(tmp_path, root, sinks=[StopAt(step)], workers=before)
    assert not multiprocessing.active_children()
    assert_same(fit_photos(tmp_path, root, resume=True, workers=after), whole)


def test_repeated_images_are_resumed_inside_an_epoch(root, tmp_path):
    whole = fit_photos(tmp_path / "whole", root, repeats=4)
    with pytest.raises(KeyboardInterrupt):
        fit_photos(tmp_path / "run", root, sinks=[StopAt(5)], repeats=4)
    assert_same(fit_photos(tmp_path / "run", root, resume=True, workers=1, repeats=4), whole)


def test_repeated_images_have_their_labels(root):
    stream, engine = photo_task(root, random=None, repeats=4).train, Engine.create("jit")
    order = np.arange(48)[::-1].reshape(3, 16)
    found = list(FromFiles(stream, engine, seed=0).batches(order, 1))
    for batch, first in zip(found, (43, 39), strict=True):
        images = np.tile(np.arange(first, first - 4, -1), 4)
        np.testing.assert_array_equal(batch.labels, stream.labels[images])
        np.testing.assert_array_equal(batch.images, stream.images[images])


def test_every_example_is_taken_in_the_order_of_images_in_memory(root):
    """Without random crops the numbers are those of the decoded images, to the bit."""
    task = photo_task(root, random=None)
    arrays = [Arrays(np.asarray(part.images), part.labels) for part in (task.train, task.valid)]
    in_memory = dataclasses.replace(task, train=arrays[0], valid=arrays[1])
    results = [fit(one, CONFIG, reporter=quiet_reporter()) for one in (task, in_memory)]
    assert results[0].history == results[1].history
    for left, right in zip(*(jax.tree.leaves(result.state) for result in results), strict=True):
        np.testing.assert_array_equal(left, right)


def test_other_files_are_not_resumed(root, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit_photos(tmp_path / "run", root, sinks=[StopAt(2)])
    other = write_folder(tmp_path / "other", per_class=32)
    path = other / "cat" / "000.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(IdentityError, match="_data` was '"):
        fit_photos(tmp_path / "run", other, resume=True)
    with pytest.raises(IdentityError, match="`training_data` was"):
        fit_photos(tmp_path / "run", root, resume=True, random=None)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_devices_share_out_a_batch(root, parallel):
    stream = photo_task(root, random=None).train
    engine, order = Engine.create(parallel), np.arange(48)[::-1].reshape(3, 16)
    arrays = Arrays(np.asarray(stream.images), stream.labels)
    found = list(FromFiles(stream, engine, seed=0).batches(order, 1))
    wanted = list(Streamed(arrays, engine).batches(order, 1))
    assert len(found) == 2
    for one, other in zip(found, wanted, strict=True):
        assert one.images.sharding == other.images.sharding
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_the_reference_evaluation_needs_images_in_memory(root):
    config = dataclasses.replace(CONFIG, evaluate_as_trained=True)
    with pytest.raises(ValueError, match="`evaluate_as_trained`"):
        fit(photo_task(root), config, reporter=quiet_reporter())
