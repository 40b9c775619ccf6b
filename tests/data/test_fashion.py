"""Where Fashion-MNIST is looked for."""

import dataclasses
import gzip

import numpy as np
import pytest

from resnet_jax.data import DATASETS, DatasetError, load_dataset
from resnet_jax.data.sources.fashion import DEBIAN_FOLDER, FashionMnist

from .idx_files import idx_bytes, some_images, write_pair


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "fashion"
    folder.mkdir()
    write_pair(folder, "train", *some_images(6, seed=0))
    write_pair(folder, "t10k", *some_images(3, seed=1))
    return folder


def datasets_with(system_folder):
    row = dataclasses.replace(DATASETS["fashion_mnist"], load=FashionMnist(system_folder))
    return {"fashion_mnist": row}


@pytest.mark.parametrize("door", ["archive", "data_dir"])
def test_folder_is_named_by_archive_or_data_dir(folder, door):
    dataset = load_dataset("fashion_mnist", **{door: folder})
    assert np.array_equal(dataset.train.images[..., 0], some_images(6, seed=0)[0])
    assert np.array_equal(dataset.test.labels, some_images(3, seed=1)[1])
    assert dataset.class_names[9] == "Ankle boot"


def test_archive_comes_before_data_dir(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_pair(other, "train", *some_images(5, seed=2))
    write_pair(other, "t10k", *some_images(2, seed=3))
    assert len(load_dataset("fashion_mnist", archive=other, data_dir=folder).train) == 5


def test_default_places(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "none"))
    by_system = load_dataset("fashion_mnist", datasets=datasets_with(folder))
    monkeypatch.setenv("RESNET_JAX_DATA", str(folder))
    by_default = load_dataset("fashion_mnist", datasets=datasets_with(tmp_path / "none"))
    assert by_default.fingerprint == by_system.fingerprint
    assert DATASETS["fashion_mnist"].load.system_folder == DEBIAN_FOLDER


def test_a_folder_that_is_named_is_the_only_one_tried(folder, tmp_path):
    with pytest.raises(DatasetError) as caught:
        load_dataset("fashion_mnist", data_dir=tmp_path / "none", datasets=datasets_with(folder))
    for part in ("--archive", "--data-dir", "--dataset digits", str(tmp_path / "none")):
        assert part in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_missing_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        load_dataset("fashion_mnist", archive=folder)


def test_both_parts_have_one_shape(folder):
    write_pair(folder, "t10k", *some_images(3, side=5))
    with pytest.raises(DatasetError, match=r"\(4, 4, 1\), but test images of shape \(5, 5, 1\)"):
        load_dataset("fashion_mnist", archive=folder)


def test_fingerprint_follows_the_images(folder):
    before = load_dataset("fashion_mnist", archive=folder).fingerprint
    images, _ = some_images(6, seed=0)
    images[0, 0, 0] ^= 1
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(images)))
    assert load_dataset("fashion_mnist", archive=folder).fingerprint != before


@pytest.mark.skipif(
    not DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_the_real_one():
    dataset = load_dataset("fashion_mnist", archive=DEBIAN_FOLDER)
    assert dataset.train.images.shape == (60_000, 28, 28, 1)
    assert dataset.test.images.shape == (10_000, 28, 28, 1)
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    pixels = dataset.train.images / np.float32(255)
    assert dataset.mean == pytest.approx((pixels.mean(),), abs=1e-4)
    assert dataset.std == pytest.approx((pixels.std(),), abs=1e-4)
