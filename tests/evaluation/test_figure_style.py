from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.style
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from resnet_jax.evaluation import (
    calibration,
    plot_accuracy,
    plot_calibration,
    plot_confusion_matrix,
    plot_explanations,
    plot_image_rows,
    plot_overlay,
    plot_training_loss,
    save_figure,
    show_examples,
)
from resnet_jax.evaluation.figures.svg import inline_svg


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
        raise OSError(errno.ENOSPC, "disk full")


def test_a_failure_leaves_the_old_files(figure, tmp_path):
    png, pdf = save_figure(figure, tmp_path / "a")
    old = png.read_bytes(), pdf.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        save_figure(FullDisk(), tmp_path / "a")
    assert (png.read_bytes(), pdf.read_bytes()) == old
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.pdf", "a.png"]


DRAW = """
import io, os, sys
from resnet_jax.evaluation import plot_accuracy, save_figure, write_page
figure = plot_accuracy([70.0], [60.0])
save_figure(figure, sys.argv[1])
figure.savefig(io.BytesIO(), format="png")
loaded = [name for name in sys.modules if name.startswith("matplotlib.backends.backend_")]
print(os.environ.get("MPLBACKEND"), "matplotlib.pyplot" in sys.modules, sorted(loaded))
"""


@pytest.mark.parametrize(
    "backend", ["", "tkagg", "module://matplotlib_inline.backend_inline", "module://x", "nonsense"]
)
def test_no_backend_is_needed(backend, tmp_path):
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAW, str(tmp_path / "figure")],
        env={**os.environ, "MPLBACKEND": backend},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = ("agg", "mixed", "pdf")
    assert (
        output == f"{backend} False {[f'matplotlib.backends.backend_{name}' for name in names]}\n"
    )


LOOKS = {
    "dark": "dark_background",
    "unreadable": {
        "text.color": "white",
        "axes.labelcolor": "white",
        "xtick.color": "white",
        "ytick.labelcolor": "white",
        "legend.labelcolor": "white",
        "savefig.facecolor": "black",
        "savefig.transparent": True,
        "savefig.bbox": "tight",
        "font.family": ["fantasy"],
        "font.size": 30,
        "text.usetex": True,
        "lines.marker": "x",
        "figure.dpi": 20,
        "svg.fonttype": "path",
        "pdf.fonttype": 3,
    },
}


def draw_all(folder):
    images = np.zeros((4, 8, 8, 3), np.uint8)
    maps = np.zeros((4, 8, 8))
    reliability = calibration([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    curve = {"a": ([0, 1], [0.1, 0.01]), "b": ([0, 1], [0.2, 0.03])}
    figures = {
        "loss": plot_training_loss([1.0, 0.5], 1, 2),
        "accuracy": plot_accuracy([70.0, 80.0], [65.0, 75.0]),
        "overlay": plot_overlay(curve, xlabel="Epoch", ylabel="Rate", log_y=True),
        "matrix": plot_confusion_matrix(np.eye(2, dtype=int), colorbar=True),
        "calibration": plot_calibration(reliability),
        "examples": show_examples(images, [0] * 4, [1] * 4, ["cat", "dog"]),
        "explanations": plot_explanations(
            images, [0] * 4, [1] * 4, ["cat", "dog"], cam=maps, saliency=maps
        ),
        "rows": plot_image_rows({"cat": images}),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / name)
        figure.savefig(folder / f"{name}_plain.png")
        (folder / f"{name}.svg").write_text(inline_svg(figure, name=name, label=name))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return draw_all(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("look", LOOKS)
def test_figures_look_the_same_in_every_style(plain, look, tmp_path):
    with matplotlib.style.context(LOOKS[look]):
        chosen = dict(matplotlib.rcParams)
        assert draw_all(tmp_path) == plain
        assert dict(matplotlib.rcParams) == chosen


def test_a_figure_keeps_its_look_where_the_style_changes_later(plain, tmp_path):
    figure = plot_accuracy([70.0, 80.0], [65.0, 75.0])
    with matplotlib.style.context(LOOKS["unreadable"]):
        png, _ = save_figure(figure, tmp_path / "a")
    assert png.read_bytes() == plain["accuracy.png"]


def test_threads_leave_the_settings_of_the_user(tmp_path):
    with matplotlib.style.context(LOOKS["dark"]):
        chosen = dict(matplotlib.rcParams)
        with ThreadPoolExecutor(4) as pool:
            folders = [tmp_path / str(number) for number in range(4)]
            for folder in folders:
                folder.mkdir()
            files = list(pool.map(draw_some, folders))
        assert dict(matplotlib.rcParams) == chosen
    assert all(one == files[0] for one in files)


def draw_some(folder):
    png, pdf = save_figure(plot_accuracy([70.0, 80.0], [65.0, 75.0]), folder / "a")
    return png.read_bytes(), pdf.read_bytes()
