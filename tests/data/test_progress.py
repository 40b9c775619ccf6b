"""A bar on a terminal, a line elsewhere; nothing on standard output."""

import pytest

from resnet_jax.data.progress import byte_progress, progress_bar


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
