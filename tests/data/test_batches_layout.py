"""CIFAR's batches: read by name, verified, and refused if anything is wrong; nothing is called."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_jax.data import DATASETS, DatasetError
from resnet_jax.data.sources.cifar import (
    CIFAR10_ARCHIVES,
    CIFAR10_LAYOUTS,
    CIFAR100_ARCHIVES,
    CIFAR100_LAYOUTS,
)
from resnet_jax.data.sources.trees import open_tree

from .cifar_files import CifarFiles, python2_batch, write_tar


def layouts(name):
    """The two forms of batches, without checksums."""
    pickled, binary = (CIFAR10_LAYOUTS if name == "cifar10" else CIFAR100_LAYOUTS)[:2]
    return dataclasses.replace(pickled, digests=()), binary


def read(path, form, name="cifar10"):
    layout = layouts(name)[form == "binary"]
    tree = open_tree(path)
    parts = layout.read(tree, layout.find(tree), DATASETS[name].class_names)
    return parts.train, parts.test


def test_published_checksums():
    table = {file.name: file.digest for file in (*CIFAR10_ARCHIVES, *CIFAR100_ARCHIVES)}
    assert table == {
        "cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a",
        "cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-python.tar.gz": "md5:eb9058c3a382ffc7106e4002c42a8d85",
    }
    assert DATASETS["cifar10"].load.forms.archives == CIFAR10_ARCHIVES
    assert DATASETS["cifar100"].load.forms.archives == CIFAR100_ARCHIVES
    for layouts in (CIFAR10_LAYOUTS, CIFAR100_LAYOUTS):
        assert len(set(layouts[0].digests)) == len(layouts[0].train) + 1


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_formats_hold_the_same_images_in_source_order(cifar, name):
    files = cifar(name)
    for form in ("binary", "python"):
        train, test = read(getattr(files, form), form, name)
        assert np.array_equal(train.images, files.train_images)
        assert np.array_equal(train.labels, files.train_labels)
        assert np.array_equal(test.images, files.test_images)
        assert np.array_equal(test.labels, files.test_labels)


def test_a_batch_that_is_not_the_published_one_is_refused(cifar):
    files = cifar()
    layout = CIFAR10_LAYOUTS[0]
    tree = open_tree(files.python)
    with pytest.raises(DatasetError, match=r"data_batch_1 .* not the published md5:c99cafc152"):
        layout.read(tree, layout.find(tree), DATASETS["cifar10"].class_names)


def binary_members(rows=2):
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    return {f"cifar-10-batches-bin/{name}": bytes(3073 * rows) for name in names}


def python_members(rows=2):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batch = python2_batch(np.zeros((rows, 3072), np.uint8), {"labels": [0] * rows})
    return {f"cifar-10-batches-py/{name}": batch for name in names}


@pytest.fixture
def admitted(tmp_path):
    """Writes a tar of members; returns the arguments of `read`."""

    def make(members, form):
        path = tmp_path / "admitted.tar.gz"
        write_tar(path, members)
        return path, form

    return make


def test_good_members_are_read(admitted):
    assert len(read(*admitted(binary_members(), "binary"))[0]) == 10
    assert len(read(*admitted(python_members(), "python"))[0]) == 10


def test_missing_members_are_named(admitted):
    members = binary_members()
    del members["cifar-10-batches-bin/data_batch_3.bin"]
    with pytest.raises(DatasetError, match=r"lacks cifar-10-batches-bin/data_batch_3\.bin$"):
        read(*admitted(members, "binary"))


def test_names_that_leave_the_folder_are_not_followed(admitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    evil = {
        "../../evil": b"x",
        "/tmp/evil": b"x",
        "cifar-10-batches-bin/../data_batch_1.bin": b"x",
        "./cifar-10-batches-bin/data_batch_1.bin": b"x",
    }
    arguments = admitted({**evil, **binary_members()}, "binary")
    before = sorted(tmp_path.rglob("*"))
    assert len(read(*arguments)[0]) == 10
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least one"),
        (bytes(3072), "its 3072 bytes are not a multiple of a 3073-byte record"),
        (b"\x0a" + bytes(3072), "labels outside 0 to 9"),
    ],
)
def test_bad_binary_batch_is_explained(admitted, content, message):
    members = binary_members() | {"cifar-10-batches-bin/test_batch.bin": content}
    with pytest.raises(DatasetError, match=message) as caught:
        read(*admitted(members, "binary"))
    assert "cifar-10-batches-bin/test_batch.bin" in str(caught.value)


GOOD = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"data": GOOD}, "KeyError"),
        ([], "cannot read"),
        ({"data": GOOD.astype(np.int16), "labels": [0, 0]}, "not a table of bytes"),
        ({"data": GOOD[0], "labels": [0, 0]}, "not a table of bytes"),
        ({"data": "text", "labels": [0, 0]}, "not a table of bytes"),
        ({"data": GOOD, "labels": ["a", "b"]}, "not a list of integers"),
        ({"data": GOOD, "labels": [0, 1.5]}, "not a list of integers"),
        ({"data": GOOD, "labels": [[0], [1, 2]]}, "cannot read"),
        ({"data": GOOD, "labels": [0]}, r"shape \(2, 3072\) and 1 labels"),
        ({"data": GOOD[:, :9], "labels": [0, 0]}, r"shape \(2, 9\)"),
        ({"data": GOOD, "labels": [0, -1]}, "labels outside 0 to 9"),
        ({"data": GOOD, "labels": [0, 10]}, "labels outside 0 to 9"),
    ],
)
def test_bad_pickled_batch_is_explained(admitted, batch, message):
    members = python_members()
    members["cifar-10-batches-py/data_batch_2"] = pickle.dumps(batch, 2)
    with pytest.raises(DatasetError, match=message) as caught:
        read(*admitted(members, "python"))
    assert "cifar-10-batches-py/data_batch_2" in str(caught.value)


class Command:
    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return os.system, (self.text,)


def test_pickled_command_is_refused(admitted, tmp_path):
    trace = tmp_path / "trace"
    members = python_members()
    members["cifar-10-batches-py/test_batch"] = pickle.dumps(Command(f"touch {trace}"), 2)
    with pytest.raises(DatasetError, match=r"refused .*test_batch .*asks for (posix|nt)\.system"):
        read(*admitted(members, "python"))
    assert not trace.exists()


def outcome(path, form):
    try:
        tree = open_tree(path)
        layout = layouts("cifar10")[form == "binary"]
        names = None if tree is None else layout.find(tree)
        return "no batches" if names is None else read(path, form)
    except DatasetError as error:
        return str(error)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), form=st.sampled_from(["binary", "python"]))
def test_damaged_archive_gives_images_or_one_line(tmp_path, data, form):
    folder = tmp_path / "source"
    if not folder.exists():
        folder.mkdir()
        CifarFiles(folder, "cifar10", 1, 1)
    path = tmp_path / "damaged.tar.gz"
    source = folder / f"cifar-10-{form}.tar.gz"
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    result = outcome(path, form)
    if isinstance(result, str):
        assert result == "no batches" or str(path) in result
        assert "\n" not in result
    else:
        assert [len(part) for part in result] == [5, 1]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_pickle_gives_images_or_one_line(tmp_path, data):
    members = python_members(1)
    batch = bytearray(members["cifar-10-batches-py/test_batch"])
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(0, min(len(batch) - 1, 200)))] = data.draw(st.integers(0, 255))
    members["cifar-10-batches-py/test_batch"] = bytes(batch)
    path = tmp_path / "damaged.tar.gz"
    write_tar(path, members)
    result = outcome(path, "python")
    if isinstance(result, str):
        assert "cifar-10-batches-py/test_batch" in result
        assert "\n" not in result
    else:
        assert [len(part) for part in result] == [5, 1]
