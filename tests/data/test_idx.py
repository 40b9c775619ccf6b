"""idx files: the exact format or a one-line error."""

import gzip
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from resnet_jax.data import DatasetError
from resnet_jax.data.sources.idx import read_idx, read_pair

from .idx_files import idx_bytes, some_images, write_pair


def test_reads_what_was_written(tmp_path):
    images, labels = some_images()
    write_pair(tmp_path, "train", images, labels)
    arrays = read_pair(tmp_path, "train", classes=10)
    assert np.array_equal(arrays.images[..., 0], images)
    assert np.array_equal(arrays.labels, labels)


def good():
    return idx_bytes(some_images()[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds 0 bytes, less than its 16-byte header"),
        (good()[:15], "holds 15 bytes, less than its 16-byte header"),
        (good()[:-1], r"holds 95 elements, but its header says 6 × 4 × 4 = 96"),
        (good() + b"x", r"holds 97 elements"),
        (b"\x00\x00\x0d\x03" + good()[4:], "starts with 00000d03; expected 00000803"),
        (b"\x00\x00\x08\x01" + good()[4:], "starts with 00000801; expected 00000803"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12 + good()[16:], "its header says 4294967295"),
    ],
)
def test_wrong_contents_are_explained(tmp_path, data, message):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(DatasetError, match=message) as caught:
        read_idx(path, rank=3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b[:20], lambda b: b"plain" + b])
def test_damaged_gzip_is_explained(tmp_path, damage):
    path = tmp_path / "x.gz"
    path.write_bytes(damage(gzip.compress(good())))
    with pytest.raises(DatasetError, match=r"cannot read .*x\.gz: "):
        read_idx(path, rank=3)


def test_missing_file_is_explained(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*none\.gz"):
        read_idx(tmp_path / "none.gz", rank=1)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=64), st.integers(1, 3))
def test_arbitrary_bytes_are_an_array_or_an_error(tmp_path, data, rank):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(data))
    try:
        array = read_idx(path, rank=rank)
    except DatasetError:
        pass
    else:
        assert idx_bytes(array) == data


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_changed_byte_of_the_file_is_noticed(tmp_path, data):
    original = gzip.compress(good(), mtime=0)
    place = data.draw(st.integers(0, len(original) - 1))
    value = data.draw(st.integers(0, 255))
    assume(value != original[place])
    path = tmp_path / "x.gz"
    path.write_bytes(original[:place] + bytes([value]) + original[place + 1 :])
    try:
        array = read_idx(path, rank=3)
    except DatasetError:
        pass
    else:  # gzip's own header has fields without meaning here: time, system, flags
        assert place < 10
        assert idx_bytes(array) == good()


def test_pair_must_fit_together(tmp_path):
    images, labels = some_images()
    write_pair(tmp_path, "train", images, labels[:-1])
    with pytest.raises(DatasetError, match=r"holds 6 images, but .* 5 labels"):
        read_pair(tmp_path, "train", classes=10)
    write_pair(tmp_path, "train", images, np.full(6, 10, np.uint8))
    with pytest.raises(DatasetError, match="holds the label 10; expected 0 to 9"):
        read_pair(tmp_path, "train", classes=10)


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4)])
def test_pair_without_pixels_is_refused(tmp_path, shape):
    assert math.prod(shape) == 0
    write_pair(tmp_path, "t10k", np.zeros(shape, np.uint8), np.zeros(shape[0], np.uint8))
    with pytest.raises(DatasetError, match="holds no images"):
        read_pair(tmp_path, "t10k", classes=10)
