"""Images that are read when they are needed: the same for any workers, each at its place."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pictures import write_folder
from PIL import Image

from resnet_jax.data import (
    ImageFileError,
    ImageStream,
    ImageTransform,
    RandomResizedCrop,
    open_records,
    read_ahead,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos") / "all")


def open_stream(root, **changes):
    options = {
        "records": open_records(root).train,
        "center": ImageTransform(resize=20, crop=16),
        "random": RandomResizedCrop(size=16),
    }
    return ImageStream(**{**options, **changes})


@pytest.fixture(scope="module")
def stream(root):
    return open_stream(root)


def batches(stream, rows, **options):
    with read_ahead(stream, np.asarray(rows), **options) as found:
        return list(found)


def test_an_evaluation_sees_the_middle(stream):
    for row in (0, len(stream) - 1):
        with Image.open(stream.records.name(row)) as image:
            wanted = stream.center.pixels(image)
        np.testing.assert_array_equal(stream.images[row], wanted)
    assert stream.images.shape == (len(stream), 16, 16, 3)
    np.testing.assert_array_equal(stream.images[1:3][1], stream.images[2])
    np.testing.assert_array_equal(np.asarray(stream.images)[-1], stream.images[-1])


def test_random_crops_follow_from_seed_epoch_and_example(stream):
    first = stream.cropped(3, seed=5, epoch=1)
    np.testing.assert_array_equal(stream.cropped(3, seed=5, epoch=1), first)
    others = [stream.cropped(3, seed, epoch) for seed, epoch in ((6, 1), (5, 2), (5, 0))]
    assert all((other != first).any() for other in others)


def test_batches_come_in_order_from_any_number_of_workers(stream):
    rows = np.random.default_rng(0).permutation(len(stream))
    wanted = [stream.cropped(row, 7, 2) for row in rows]
    for workers in (0, 1, 2):
        read = dataclasses.replace(stream, workers=workers)
        found = batches(read, rows, batch=7, crop=(7, 2))
        assert [len(batch) for batch in found] == [7, 7, len(rows) - 14]
        np.testing.assert_array_equal(np.concatenate(found), wanted)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_at_its_batch(tmp_path, workers):
    root = write_folder(tmp_path / "photos")
    stream = open_stream(root, workers=workers)
    damaged = root / "cat" / "003.jpg"
    row = next(n for n in range(len(stream)) if stream.records.name(n) == str(damaged))
    damaged.write_bytes(damaged.read_bytes()[:300])
    rest = [n for n in range(len(stream)) if n != row]
    with read_ahead(stream, np.array([*rest[:4], row]), batch=4) as found:
        assert len(next(found)) == 4
        with pytest.raises(ImageFileError, match=r"cat/003\.jpg cannot be read"):
            next(found)


def test_drafts_are_upright_and_close(tmp_path):
    root = tmp_path / "photos"
    gradient = np.add.outer(np.arange(240), np.arange(320)).astype(np.uint8)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(4):
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(gradient // 3).save(root / name / f"{number}.jpg", exif=exif)
    exact = open_stream(root, center=ImageTransform(resize=32, crop=16))
    draft = dataclasses.replace(exact, draft=True)
    for take in (lambda s: s.centered(0), lambda s: s.cropped(0, 1, 2)):
        one, other = take(exact).astype(int), take(draft).astype(int)
        assert (one != other).any()
        assert np.abs(one - other).mean() < 4


def test_the_fingerprint_is_of_names_sizes_labels_and_crops(root, tmp_path):
    stream = open_stream(root)
    copy = write_folder(tmp_path / "elsewhere")
    assert open_stream(copy, workers=3).fingerprint == stream.fingerprint
    assert dataclasses.replace(stream, draft=True).fingerprint != stream.fingerprint
    assert dataclasses.replace(stream, random=None).fingerprint != stream.fingerprint
    path = copy / "dog" / "002.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_stream(copy).fingerprint != stream.fingerprint


def test_random_crops_may_have_a_side_of_their_own(root):
    stream = open_stream(root)
    same = dataclasses.replace(stream, random=dataclasses.replace(stream.random, size=8))
    other = stream.resized(8)
    assert other.cropped(1, 5, 0).shape == (8, 8, 3)
    np.testing.assert_array_equal(other.cropped(1, 5, 0), same.cropped(1, 5, 0))
    np.testing.assert_array_equal(other.centered(1), stream.centered(1))
    with read_ahead(other, np.arange(3), batch=3, crop=(5, 0)) as batches:
        assert next(batches).shape == (3, 8, 8, 3)
    middle = open_stream(root, random=None)
    assert middle.resized(8) is middle


@pytest.mark.parametrize(("batch", "repeats"), [(8, 4), (6, 4), (5, 1), (1, 3)])
def test_an_epoch_with_repeats_takes_the_first_images_several_times(stream, batch, repeats):
    repeated = dataclasses.replace(stream, repeats=repeats)
    count = len(stream)
    order = np.random.default_rng(0).permutation(count)[: count // batch * batch]
    rows = repeated.epoch_rows(order.reshape(-1, batch))
    assert rows.shape == (count // batch, batch)
    share = -(-batch // repeats)
    for step, row in enumerate(rows):
        images, times = np.unique(row % count, return_counts=True)
        assert set(images) == set(order[step * share : (step + 1) * share])
        assert times.max() <= repeats
        assert times.sum() == batch
        assert len(set(row)) == batch
        # Augmentations mix an image with its neighbour.
        assert share == 1 or all(np.diff(row) % count)


def test_repetitions_are_cropped_otherwise(stream):
    repeated = dataclasses.replace(stream, repeats=3)
    rows = repeated.epoch_rows(np.array([[4, 5, 6]]))[0]
    assert (rows % len(stream)).tolist() == [4] * 3
    crops = [repeated.cropped(row, 5, 1) for row in rows]
    np.testing.assert_array_equal(crops[0], stream.cropped(4, 5, 1))
    assert all((one != other).any() for one, other in itertools.combinations(crops, 2))
    np.testing.assert_array_equal(batches(repeated, rows, batch=3, crop=(5, 1))[0], crops)
    assert repeated.fingerprint != stream.fingerprint
    middle = dataclasses.replace(repeated, random=None)
    np.testing.assert_array_equal(middle.cropped(rows[1], 5, 1), middle.centered(4))


def test_arguments_out_of_range(stream):
    for name, value in (("repeats", 0), ("workers", -1)):
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be at least"):
            dataclasses.replace(stream, **{name: value})


PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from resnet_jax.data import ImageStream, ImageTransform, open_records, read_ahead

if __name__ == "__main__":
    stream = ImageStream(
        records=open_records(Path(sys.argv[1])).train,
        center=ImageTransform(resize=20, crop=16),
        workers=1,
    )
    with read_ahead(stream, np.zeros(100_000, int), batch=1) as batches:
        next(batches)
        import multiprocessing
        print(multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(600)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks processes up in /proc")
def test_workers_ignore_signals_and_end_with_a_killed_run(root, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), str(root)], stdout=subprocess.PIPE, text=True
    ) as run:
        worker = int(run.stdout.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker, number)
        time.sleep(0.5)
        assert is_alive(worker)
        run.kill()
    deadline = time.monotonic() + 30
    while is_alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.1)
