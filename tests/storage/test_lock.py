"""The lock of a folder: across processes, threads and spellings of the path."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from resnet_jax.storage import FolderInUseError, folder_lock

HOLD = """
import sys
from pathlib import Path
from resnet_jax.storage import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path):
    """Another process, which holds the folder's lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.communicate("\n")


def refused(folder):
    """Whether another thread is refused the lock."""
    results = []

    def take():
        try:
            with folder_lock(folder):
                results.append(False)
        except FolderInUseError:
            results.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return results.pop()


def test_another_process_keeps_the_folder_until_it_ends(tmp_path, held):
    with pytest.raises(FolderInUseError, match=r"is in use$"), folder_lock(tmp_path):
        pass
    held.kill()
    held.wait()
    with folder_lock(tmp_path):
        pass


def test_waiting_is_told_once_and_ends_when_the_folder_is_free(tmp_path, held):
    calls = []

    def waiting():
        calls.append(held.poll())
        held.stdin.write("\n")
        held.stdin.flush()

    with folder_lock(tmp_path, waiting=waiting):
        assert calls == [None]
        assert refused(tmp_path)


def test_nobody_waits_for_a_free_folder(tmp_path):
    with folder_lock(tmp_path, waiting=lambda: pytest.fail("it is free")):
        pass


def test_a_thread_may_take_the_lock_again_under_any_path(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.chdir(tmp_path)
    with folder_lock(tmp_path / "folder"):
        for path in ("folder", "link", "folder/../folder"):
            with folder_lock(Path(path)):
                pass
            assert refused(tmp_path / "folder")
    assert not refused(tmp_path / "folder")


def test_an_error_in_the_block_releases_the_lock(tmp_path):
    def fail():
        with folder_lock(tmp_path):
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        fail()
    assert not refused(tmp_path)


def test_a_missing_folder_is_created(tmp_path):
    with folder_lock(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_a_folder_that_cannot_be_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), folder_lock(tmp_path / "file" / "folder"):
        pass
