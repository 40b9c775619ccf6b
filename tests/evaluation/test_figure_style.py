from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from resnet_jax.evaluation import plot_accuracy, save_figure


@pytest.fixture
def figure():
    return plot_accuracy([70.0, 80.0], [65.0, 75.0])


def test_writes_a_png_of_300_dpi_and_a_pdf(figure, tmp_path):
    png, pdf = save_figure(figure, tmp_path / "new" / "accuracy.v2")
    assert (png, pdf) == (
        tmp_path / "new" / "accuracy.v2.png",
        tmp_path / "new" / "accuracy.v2.pdf",
    )
    with Image.open(png) as image:
        image.load()
        assert image.size == (990, 720)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert pdf.read_bytes().startswith(b"%PDF-1.")
    assert pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert sorted(entry.name for entry in png.parent.iterdir()) == [pdf.name, png.name]


def test_the_pdf_embeds_truetype_fonts(figure, tmp_path):
    before = matplotlib.rcParams["pdf.fonttype"]
    content = save_figure(figure, tmp_path / "a")[1].read_bytes()
    assert b"/CIDFontType2" in content
    assert b"/Type3" not in content
    assert matplotlib.rcParams["pdf.fonttype"] == before


def test_the_same_figure_gives_the_same_files(figure, tmp_path):
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "a")]
    second = [path.read_bytes() for path in save_figure(figure, str(tmp_path / "a"))]
    assert first == second
    assert b"CreationDate" not in first[1]


class FullDisk(Figure):
    """A figure whose file is only half written."""

    def savefig(self, fname, **options):
        del options
        Path(fname).write_bytes(b"half")
        raise OSError("disk full")


def test_a_failure_leaves_the_old_files(figure, tmp_path):
    png, pdf = save_figure(figure, tmp_path / "a")
    old = png.read_bytes(), pdf.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        save_figure(FullDisk(), tmp_path / "a")
    assert (png.read_bytes(), pdf.read_bytes()) == old
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.pdf", "a.png"]


def test_drawing_needs_no_pyplot():
    code = (
        "import sys; from resnet_jax.evaluation import plot_accuracy;"
        "plot_accuracy([70.0], [60.0]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
