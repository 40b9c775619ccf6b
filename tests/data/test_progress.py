"""A bar on a terminal, a line elsewhere; nothing on standard output."""

import pytest

from resnet_jax.data.progress import progress_bar


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
