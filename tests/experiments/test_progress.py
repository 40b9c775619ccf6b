"""The bar of a command: on a terminal alone, and gone at the end."""

import io

import pytest
from rich.console import Console

from experiments.progress import working


def shown(total, steps, *, is_terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=80)
    with working("Drawing [red]", total, console=console) as advance:
        for _ in range(steps):
            advance()
            console.print("a line")
    return file.getvalue()


@pytest.mark.parametrize("total", [3, None])
def test_on_a_terminal(total):
    text = shown(total, 3, is_terminal=True)
    assert "Drawing [red]" in text
    assert text.count("a line") == 3
    # The line of the bar is deleted at the end.
    assert text.endswith("\x1b[2K")


def test_elsewhere_nothing_is_shown():
    assert shown(3, 2, is_terminal=False) == "a line\na line\n"
