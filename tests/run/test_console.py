"""What a run prints is text: nothing in it is markup, and nothing in it breaks the terminal."""

import io

import pytest
from rich.console import Console

from resnet_jax.run import FitConfig, Reporter
from resnet_jax.run.console import ProgressLines

AWKWARD = "[bold]x[/bold] [/y] :smile: $x$ <b> https://x.org 12 'a' \\[z]"


def reporter(**options):
    file = io.StringIO()
    return Reporter(Console(file=file, width=300, **options)), file


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_is_printed_as_it_is(terminal):
    """Without colours for what looks like a number or an address, too."""
    printer, file = reporter(force_terminal=terminal, color_system="truecolor")
    printer.line(f"Figures and report: runs/{AWKWARD}")
    assert file.getvalue() == f"Figures and report: runs/{AWKWARD}\n"


def test_what_cannot_be_printed_is_written_out():
    printer, file = reporter()
    printer.line("runs/two\nlines\x1b[31m \udcff\u202e")
    assert file.getvalue() == "runs/two\\nlines\\x1b[31m \\udcff\\u202e\n"


def test_what_the_terminal_cannot_encode_is_written_out():
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        Reporter(Console(file=file, width=300)).line("runs/Übung 猫")
        file.flush()
        assert raw.getvalue() == b"runs/\\xdcbung \\u732b\n"


def test_the_title_of_a_bar_is_no_markup():
    printer, file = reporter(force_terminal=True, color_system=None)
    with printer.bar(AWKWARD, 2, 8) as bar:
        bar.advance()
    assert AWKWARD in file.getvalue()


def test_a_long_line_is_not_broken(capsys):
    Reporter().line("x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_the_lines_of_a_training():
    printer, file = reporter()
    lines = ProgressLines(printer, FitConfig(epochs=50, log_every=100), steps=351)
    for step, loss in ((1, 2.5), (2, 2.4), (101, 1.25)):
        lines.log({"event": "step", "epoch": 1, "step": step, "loss": loss})
    accuracies = {"train_accuracy": 50.0, "valid_accuracy": 40.126}
    lines.log({"event": "epoch", "epoch": 1, "step": 351, "seconds": 90.0, **accuracies})
    assert file.getvalue().splitlines() == [
        "Epoch: 001/050 | Batch 0000/0351 | Loss: 2.5000",
        "Epoch: 001/050 | Batch 0100/0351 | Loss: 1.2500",
        "Epoch: 001/050 | Train: 50.00% | Validation: 40.13%",
        "Time elapsed: 1.50 min",
    ]
