"""No text from a user breaks a line, a terminal or an encoding."""

import re

import numpy as np
import pytest

from resnet_jax.storage import printable, printable_name
from resnet_jax.storage.printable import name_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("$x_1^2$ \\frac{ <b> & [bold] :smile:", "$x_1^2$ \\frac{ <b> & [bold] :smile:"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("\x00\x1b]0;title\x07\x9b", r"\x00\x1b]0;title\x07\x9b"),
        ("next\u2028line", r"next\u2028line"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        ("turned \u202egpj.exe", r"turned \u202egpj.exe"),
        # Marks that spelling needs stay.
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬 猫 हिन्दी", "👩\u200d🔬 猫 हिन्दी"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text, shown):
    assert printable(text) == shown
    assert len(printable(text).splitlines()) == 1
    printable(text).encode()


def test_what_an_encoding_lacks_is_escaped():
    assert printable("naïve 猫", "ascii") == r"na\xefve \u732b"
    assert printable("naïve 猫", "latin-1") == r"naïve \u732b"


@pytest.mark.parametrize("blank", ["", " ", "\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}"])
def test_a_blank_name_is_visible(blank):
    assert printable(blank) == blank
    assert printable_name(blank) == f"'{blank}'"
    assert printable_name("cat") == "cat"


@pytest.mark.parametrize("name", [7, np.int64(7), np.uint8(7), np.str_("7")])
def test_a_name_may_be_a_whole_number(name):
    assert name_text(name) == printable_name(name) == "7"
    assert type(name_text(name)) is str


@pytest.mark.parametrize("name", [b"cat", 1.5, None, np.bool_(True)])
def test_other_values_are_no_names(name):
    message = f"^a name \\(={re.escape(repr(name))}\\) must be text or a whole number$"
    for function in (name_text, printable_name):
        with pytest.raises(TypeError, match=message):
            function(name)
