from __future__ import annotations

import errno

import pytest

from resnet_jax.storage import atomic_path, to_disk


def test_the_file_takes_its_place_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "a.b.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.b.txt"]


def test_a_failure_keeps_the_old_file_and_removes_the_half_written_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    """Not the temporary one; and writing to an open file that finds no room names none itself."""
    path = tmp_path / "a.txt"

    def fill(temporary):
        raise OSError(errno.ENOSPC, "No space left on device")

    for block in (fill, lambda temporary: temporary.read_text()):
        with pytest.raises(OSError, match="No ") as caught, atomic_path(path) as temporary:
            block(temporary)
        assert caught.value.filename == str(path)
        assert str(caught.value).endswith(f"'{path}'")
    with pytest.raises(FileNotFoundError) as caught, atomic_path(path):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old"


def test_the_whole_file_is_on_the_disk_when_the_wait_ends(tmp_path):
    path = tmp_path / "a.txt"
    with path.open("w") as file:
        file.write("buffered")
        assert path.read_text() == ""
        to_disk(file)
        assert path.read_text() == "buffered"
