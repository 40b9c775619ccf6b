"""What several tests of the data need: CIFAR archives with few images, and no network."""

import urllib.error
import urllib.request

import pytest

from .cifar_files import CifarFiles, admit


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Makes both archives of a data set and admits their checksums."""

    def make(name="cifar10", per_batch=7, test_size=9, seed=0):
        folder = tmp_path / f"source-{name}-{seed}"
        folder.mkdir()
        files = CifarFiles(folder, name, per_batch, test_size, seed)
        admit(monkeypatch, name, files.binary, 0)
        admit(monkeypatch, name, files.python, 1)
        return files

    return make


@pytest.fixture
def no_network(monkeypatch):
    """Makes every attempt to open a URL fail at once, and returns the list of attempts."""
    attempts = []

    def refuse(url, **_):
        attempts.append(url)
        raise urllib.error.URLError(OSError("no network in tests"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return attempts
