"""What several tests of the data need: CIFAR archives with few images, and a server."""

import pytest

from .cifar_files import CifarFiles
from .file_server import serving


@pytest.fixture(autouse=True)
def tfds_folder(tmp_path, monkeypatch):
    """TFDS's own folder, which is not the user's and does not exist at first."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tensorflow_datasets"))
    return tmp_path / "tensorflow_datasets"


@pytest.fixture
def server(monkeypatch):
    """An HTTP server on this machine; it has no files until a test gives it some."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # whatever proxy leads to the world
    with serving() as server:
        yield server


@pytest.fixture
def cifar(tmp_path, server):
    """Makes both archives of a data set; its `datasets` admit them and download from `server`."""

    def make(name="cifar10", per_batch=7, test_size=9, seed=0):
        folder = tmp_path / f"source-{name}-{seed}"
        folder.mkdir()
        return CifarFiles(folder, name, per_batch, test_size, seed, server=f"{server.url}/")

    return make
