"""Files that a command may write, and those that it may not."""

import argparse
from pathlib import Path

import pytest

from experiments.benchmarks.harness import new_file
from experiments.outputs import check_new


@pytest.fixture
def run(tmp_path):
    """What is like a run folder, without its contents."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").touch()
    return folder


def test_what_is_there_is_not_replaced(tmp_path):
    path, link = tmp_path / "a.json", tmp_path / "b.json"
    check_new([path, link])
    path.touch()
    link.symlink_to("nowhere")
    for there in (path, link):
        with pytest.raises(
            FileExistsError, match=r"`json` \(=.*\) exists; --overwrite replaces it"
        ):
            check_new([tmp_path / "c.json", there], option="json")
        check_new([there], overwrite=True)
    with pytest.raises(ValueError, match=r"`out` .* is a folder"):
        check_new([tmp_path], overwrite=True)


@pytest.mark.parametrize(
    "name", ["config.json", "data.json", "metrics.jsonl", "report.json", "report.html"]
)
def test_a_file_of_a_run(run, name):
    for path in (run / name, run / ".." / "run" / name):
        with pytest.raises(ValueError, match="belongs to a run"):
            check_new([path], overwrite=True)
    check_new([run.parent / name])
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match="belongs to a run"):
        check_new([run / name], overwrite=True)


@pytest.mark.parametrize("name", ["checkpoints/a.json", "checkpoints/3/a/b.json", "figures/a.png"])
def test_a_folder_of_a_run(run, name):
    with pytest.raises(ValueError, match="belongs to a run"):
        check_new([run / name], overwrite=True)
    check_new([run / "other" / name, run / "model.safetensors"])


@pytest.mark.parametrize("name", ["config.json", "report.json", "figures/a.png"])
def test_a_config_alone_may_be_of_something_else(tmp_path, name):
    (tmp_path / "config.json").write_text('{"colour": "red"}')
    with pytest.raises(
        ValueError,
        match=r"`out` \(=.*\) may be a file of a run, .* never replaced: config.json is there; ",
    ):
        check_new([tmp_path / name], overwrite=True)


def test_through_a_link(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(run)
    with pytest.raises(ValueError, match="belongs to a run"):
        check_new([Path("link/config.json")], overwrite=True)


def unwritable(folder):
    """Paths where no file can be made, whoever asks."""
    (folder / "file").touch()
    yield folder / "file" / "a.json"
    yield folder / "file" / "b" / "a.json"
    yield folder / f"{'n' * 245}.json"  # with what is added while it is written, it is too long
    yield folder / "b" / f"{'n' * 300}.json"
    if Path("/proc/self").exists():
        yield Path("/proc/a.json")


def test_what_cannot_be_written(tmp_path):
    before = sorted(tmp_path.iterdir())
    for path in unwritable(tmp_path):
        with pytest.raises(OSError, match=r"^`json` \(=.*a?\.json\) cannot be written: ") as caught:
            check_new([tmp_path / "a.json", path], option="json")
        assert str(path) in str(caught.value)
    check_new([tmp_path / "new" / "folder" / "a.json"])
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "file"]


def test_an_argument_of_a_benchmark(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert new_file("~/a.json") == tmp_path / "a.json"
    (tmp_path / "a.json").touch()
    for text, message in (
        ("~/a.json", r"a\.json\) exists; name another file"),
        ("~nobody-here/a", "no home folder is known"),
        ("~", "is a folder"),
        ("~/a.json/b.json", "^`json` .* cannot be written: Not a directory$"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            new_file(text)
