"""The manifest finds every kind of damage, and nothing else."""

from __future__ import annotations

import json

import pytest

from resnet_jax.storage import find_damage, write_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "inner" / "empty").write_bytes(b"")
    write_manifest(tmp_path)
    return tmp_path


def test_a_whole_folder(folder):
    assert find_damage(folder) is None
    assert json.loads((folder / "manifest.json").read_bytes()) == {
        "files": {
            "a": {
                "bytes": 5,
                "sha256": "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
            },
            "inner/empty": {
                "bytes": 0,
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            },
        }
    }


def test_further_files_are_no_damage(folder):
    (folder / "b").write_text("new")
    assert find_damage(folder) is None


def test_other_files_than_those_to_compare_are_not_looked_at(folder):
    (folder / "a").write_bytes(b"54321")
    assert find_damage(folder, only=["inner/empty"]) is None
    assert find_damage(folder, only=["a"]) == "a has other contents than were written"


def test_writing_it_again_takes_in_what_has_changed(folder):
    (folder / "a").write_bytes(b"54321")
    write_manifest(folder)
    assert find_damage(folder) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"123", "a has 3 of 5 bytes"),
        (b"12346", "a has other contents than were written"),
        (None, "a is missing"),
    ],
)
def test_a_file_that_has_changed(folder, content, message):
    if content is None:
        (folder / "a").unlink()
    else:
        (folder / "a").write_bytes(content)
    assert find_damage(folder) == message


def test_a_file_that_became_a_folder(folder):
    (folder / "inner" / "empty").unlink()
    (folder / "inner" / "empty").mkdir()
    assert find_damage(folder) == "inner/empty is missing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "manifest.json is not a manifest"),
        (b"[]", "manifest.json is not a manifest"),
        (b'{"files": []}', "manifest.json is not a manifest"),
        (b'{"files": {"a": 3}}', "manifest.json is not a manifest"),
        (b'{"files": {"a": {"bytes": 5}}}', "manifest.json is not a manifest"),
        (b'{"files": ' + b"[" * 200_000, "manifest.json is not a manifest"),
        (b'{"files": {}}', "manifest.json names no file"),
        (b'{"files": {"../a": {}}}', "manifest.json names ../a, which is outside of the folder"),
        (b'{"files": {"/a": {}}}', "manifest.json names /a, which is outside of the folder"),
    ],
)
def test_a_manifest_that_is_damaged(folder, content, message):
    (folder / "manifest.json").write_bytes(content)
    assert find_damage(folder) == message


def test_a_folder_without_a_manifest(folder):
    (folder / "manifest.json").unlink()
    assert find_damage(folder) == "manifest.json is missing"


def test_files_without_which_a_folder_is_of_no_use(tmp_path):
    (tmp_path / "weights").write_bytes(b"1")
    with pytest.raises(FileNotFoundError, match="index is missing in "):
        write_manifest(tmp_path, needed=["weights", "index"])
    assert not (tmp_path / "manifest.json").exists()
    write_manifest(tmp_path, needed=["weights"])
    assert find_damage(tmp_path, needed=["weights"]) is None
    assert find_damage(tmp_path, needed=["weights", "index"]) == "index is missing"
