"""Where the data folder is; it is written to all or nothing, by one writer at a time."""

import logging
import multiprocessing
import threading
from pathlib import Path

import pytest

from resnet_jax.data import DatasetError, default_data_dir
from resnet_jax.data.data_folder import staged, writing


def test_default_folder(monkeypatch):
    monkeypatch.delenv("RESNET_JAX_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_data_dir() == Path("/home/someone/.cache/resnet_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_dir() == Path("/cache/resnet_jax")
    monkeypatch.setenv("RESNET_JAX_DATA", "~/data")
    assert default_data_dir() == Path("/home/someone/data")


def test_no_default_folder(monkeypatch):
    """As in a container that runs as a user of whom it knows the number alone."""
    for name in ("RESNET_JAX_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(DatasetError, match=r"set HOME or XDG_CACHE_HOME, or name .* --data-dir"):
        default_data_dir()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_file_appears_at_the_end(tmp_path):
    with writing(tmp_path), staged(tmp_path, tmp_path / "a" / "b") as partial:
        partial.write_text("x")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "b").read_text() == "x"
    assert names(tmp_path) == ["a"]


def test_an_error_leaves_nothing(tmp_path):
    def fail():
        with staged(tmp_path, tmp_path / "a") as partial:
            partial.mkdir()
            (partial / "file").write_text("half")
            raise RuntimeError

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]


def test_a_full_folder_is_replaced_only_if_asked(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")

    def put(replace):
        with staged(tmp_path, tmp_path / "a", replace=replace) as partial:
            partial.mkdir()
            (partial / "new").write_text("new")

    with pytest.raises(OSError, match="not empty"):
        put(replace=False)
    assert names(tmp_path / "a") == ["old"]
    put(replace=True)
    assert names(tmp_path / "a") == ["new"]
    assert names(tmp_path) == ["a"]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "half").write_text("half")
    with writing(tmp_path):
        assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["file", "file/inner"])
def test_a_folder_that_cannot_be_made_is_explained(tmp_path, place):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DatasetError, match=r"^cannot write to the data folder .*--data-dir$"),
        writing(tmp_path / place),
    ):
        pass


def test_a_full_disk_is_explained(tmp_path):
    def fill():
        with writing(tmp_path):
            raise OSError(28, "No space left on device")

    with pytest.raises(DatasetError, match="No space left on device"):
        fill()
    with writing(tmp_path):  # the lock was released
        pass


def test_other_errors_pass_through(tmp_path):
    def fail():
        with writing(tmp_path):
            raise DatasetError("other")

    with pytest.raises(DatasetError, match=r"^other$"):
        fail()


def hold(folder, holding, release):
    with writing(folder):
        holding.set()
        release.wait(60)


def test_a_second_writer_waits_and_says_so(tmp_path, caplog):
    context = multiprocessing.get_context("spawn")
    holding, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, holding, release))
    process.start()
    try:
        assert holding.wait(60)
        entered = threading.Event()

        def second():
            with writing(tmp_path):
                entered.set()

        with caplog.at_level(logging.WARNING):
            thread = threading.Thread(target=second)
            thread.start()
            assert not entered.wait(0.3)
            release.set()
            assert entered.wait(60)
            thread.join()
    finally:
        release.set()
        process.join()
    assert process.exitcode == 0
    assert "Waiting for another process" in caplog.text
