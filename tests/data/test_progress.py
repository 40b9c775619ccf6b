"""A bar on a terminal, a line elsewhere; nothing on standard output."""

import os
import sys
import time

import pytest

from resnet_jax.data import find_images, progress
from resnet_jax.data.progress import byte_progress, late_progress, progress_bar


def test_one_line_where_there_is_no_terminal(capsys):
    with progress_bar("Doing [this] :smile:\x1b[31m\n", 10) as advance:
        for _ in range(10):
            advance(1)
    assert capsys.readouterr() == ("", "Doing [this] :smile:\\x1b[31m\\n\n")


@pytest.mark.parametrize("total", [10, None])
def test_a_bar_on_a_terminal(capsys, monkeypatch, total):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with progress_bar("Doing [this] :smile:\n", total) as advance:
        advance(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert r"Doing [this] :smile:\n" in err
    assert ("100 %" in err) == (total == 10)


def test_bytes_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with byte_progress("Doing", 4_000_000, 1_000_000) as advance:
        advance(2_000_000)
    assert "3.0/4.0 MB" in capsys.readouterr().err


def test_bytes_are_told_where_there_is_no_terminal(capsys):
    with byte_progress("Doing", 20_000_000, 5_000_000) as advance:
        for _ in range(14):
            advance(1_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "Doing",
        *(f"  {done}.0 of 20.0 MB" for done in (6, 8, 10, 12, 14, 16, 18)),
    ]


def test_bytes_of_an_unknown_number_are_one_line(capsys):
    with byte_progress("Doing", None, 0) as advance:
        advance(10**9)
    assert capsys.readouterr().err == "Doing\n"


def pretend_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_work_that_takes_long_shows_how_much_is_done(monkeypatch, capsys):
    pretend_terminal(monkeypatch)
    monkeypatch.setattr(progress, "LATE_SECONDS", 0.01)
    with late_progress("Searching [this]") as advance:
        advance(12_000)
        time.sleep(0.3)
        advance(345)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Searching [this]" in err
    assert "12,000" in err
    assert "12,345" in err


def test_work_that_is_soon_over_shows_nothing(monkeypatch, capsys):
    pretend_terminal(monkeypatch)
    with late_progress("Searching") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_a_late_bar_is_for_terminals_alone(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LATE_SECONDS", 0.0)
    with late_progress("Searching") as advance:
        time.sleep(0.1)
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_a_slow_search_counts_the_entries_of_every_folder(tmp_path, monkeypatch, capsys):
    pretend_terminal(monkeypatch)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()

    scandir = os.scandir

    def slowly(path):
        time.sleep(0.2)
        return scandir(path)

    monkeypatch.setattr(progress, "LATE_SECONDS", 0.01)
    monkeypatch.setattr(os, "scandir", slowly)
    assert len(find_images(tmp_path).paths) == 2
    err = capsys.readouterr().err
    assert f"Searching {tmp_path.parts[0]}" in err
