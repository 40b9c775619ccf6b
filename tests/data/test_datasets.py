"""The registry: its rows, and the function that loads one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_jax.data import (
    DATASETS,
    Arrays,
    DatasetError,
    DatasetSpec,
    Parts,
    load_dataset,
)


def test_names():
    assert set(DATASETS) == {
        *("cifar10", "cifar100", "fashion_mnist", "digits"),
        *("svhn", "stl10", "tiny_imagenet", "imagenette"),
    }


@pytest.mark.parametrize(
    ("name", "classes", "side", "channels"),
    [
        ("cifar10", 10, 32, 3),
        ("cifar100", 100, 32, 3),
        ("fashion_mnist", 10, 28, 1),
        ("digits", 10, 8, 1),
        ("svhn", 10, 32, 3),
        ("stl10", 10, 96, 3),
        ("tiny_imagenet", 200, 64, 3),
        ("imagenette", 10, 160, 3),
    ],
)
def test_rows(name, classes, side, channels):
    row = DATASETS[name]
    assert len(set(row.class_names)) == len(row.class_names) == classes
    assert row.side == side
    assert len(row.mean) == len(row.std) == channels
    assert all(0 < value < 1 for value in (*row.mean, *row.std))


def test_class_names_are_in_label_order():
    names = DATASETS["cifar10"].class_names
    assert (names[0], names[3], names[9]) == ("airplane", "cat", "truck")
    fine = DATASETS["cifar100"].class_names
    assert list(fine) == sorted(fine)  # the archive's own order
    assert (fine[0], fine[53], fine[99]) == ("apple", "orange", "worm")
    fashion = DATASETS["fashion_mnist"].class_names
    assert (fashion[0], fashion[9]) == ("T-shirt/top", "Ankle boot")


def test_digits_statistics_are_the_training_images():
    dataset = load_dataset("digits")
    pixels = dataset.train.images / 255
    assert dataset.mean == pytest.approx((pixels.mean(),), abs=5e-5)
    assert dataset.std == pytest.approx((pixels.std(),), abs=5e-5)


@pytest.mark.parametrize("name", ["mnist", "", "CIFAR10"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DatasetError) as caught:
        load_dataset(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in DATASETS)


def test_a_data_set_is_one_row(tmp_path):
    """A loader and a row are all that a new data set takes."""
    given = {}

    def load(name, class_names, *, archive, data_dir):
        given.update(archive=archive, data_dir=data_dir)
        labels = np.arange(len(class_names), dtype=np.int32)
        arrays = Arrays(np.full((len(labels), 2, 2, 1), 7, np.uint8), labels)
        return Parts(arrays, arrays)

    row = DatasetSpec(class_names=("left", "right"), side=2, mean=(0.5,), std=(0.25,), load=load)
    datasets = {**DATASETS, "arrows": row, "signs": row}
    dataset = load_dataset("arrows", archive=tmp_path, datasets=datasets)
    assert (dataset.name, dataset.class_names) == ("arrows", ("left", "right"))
    assert (dataset.mean, dataset.std) == ((0.5,), (0.25,))
    assert dataset.train.labels.tolist() == dataset.test.labels.tolist() == [0, 1]
    assert given == {"archive": tmp_path, "data_dir": None}
    assert load_dataset("signs", datasets=datasets).fingerprint != dataset.fingerprint
    assert load_dataset("digits", datasets=datasets).name == "digits"
    with pytest.raises(DatasetError, match=r"must be one of cifar10, .*, arrows, signs$"):
        load_dataset("arrow", datasets=datasets)
    assert "arrows" not in DATASETS


def test_a_row_may_be_replaced():
    """The statistics of a row, too, reach the data set."""
    row = dataclasses.replace(DATASETS["digits"], mean=(0.1,))
    assert load_dataset("digits", datasets={"digits": row}).mean == (0.1,)


def test_digits_take_no_archive(tmp_path):
    with pytest.raises(DatasetError, match=r"`archive` .* has no use for digits; leave it out"):
        load_dataset("digits", archive=tmp_path)


def test_default_folder_is_used(monkeypatch, tmp_path, cifar, server):
    files = cifar()
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "d"))
    load_dataset("cifar10", archive=files.binary, datasets=files.datasets)
    assert (tmp_path / "d" / "arrays" / "cifar10" / "manifest.json").exists()
    assert not server.requests


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=str(tmp_path / "none.tar.gz")):
        load_dataset("cifar10", archive=Path("~/none.tar.gz"))
    for option in ("archive", "data_dir"):
        with pytest.raises(ValueError, match="no home folder is known for ~nobody-here"):
            load_dataset("cifar10", **{option: Path("~nobody-here/data")})


def test_import_is_light():
    """These take long to import; they come in when they are needed."""
    code = (
        "import sys, resnet_jax.data\n"
        "heavy = {'scipy', 'sklearn', 'array_record', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
