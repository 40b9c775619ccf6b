"""The door: names, default folder, arguments."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.data import DATASETS, DatasetError, default_data_dir, load_dataset


@pytest.mark.parametrize("name", ["mnist", "", "CIFAR10"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DatasetError) as caught:
        load_dataset(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in DATASETS)


def test_digits_take_no_archive(tmp_path):
    with pytest.raises(DatasetError, match=r"`archive` .* is of no use to digits"):
        load_dataset("digits", archive=tmp_path)


def test_default_folder(monkeypatch):
    monkeypatch.delenv("RESNET_JAX_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_data_dir() == Path("/home/someone/.cache/resnet_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_dir() == Path("/cache/resnet_jax")
    monkeypatch.setenv("RESNET_JAX_DATA", "~/data")
    assert default_data_dir() == Path("/home/someone/data")


def test_default_folder_is_used(monkeypatch, tmp_path, cifar, no_network):
    files = cifar()
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "d"))
    load_dataset("cifar10", archive=files.binary)
    assert (tmp_path / "d" / "arrays" / "cifar10" / "manifest.json").exists()
    assert not no_network


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=str(tmp_path / "none.tar.gz")):
        load_dataset("cifar10", archive=Path("~/none.tar.gz"))


def test_import_is_light():
    """TFDS and scikit-learn take seconds; they come in when they are needed."""
    code = (
        "import sys, resnet_jax.data\n"
        "heavy = {'tensorflow_datasets', 'sklearn', 'array_record'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
