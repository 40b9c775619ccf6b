"""Messages of errors in one line."""

import pytest

from resnet_jax.storage import first_line, one_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("disk full", "disk full"),
        ("\n\n  disk full.\nTraceback ...", "disk full"),
        ("it failed: ", "it failed"),
        ("x" * 1000, "x" * 300),
        ("", "OSError"),
    ],
)
def test_first_line(message, line):
    assert first_line(OSError(message)) == line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines, in full."), "two lines, in full."),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
        ("a\ttext\n", "a text"),
        ("", ""),
    ],
)
def test_one_line(error, line):
    assert one_line(error) == line
