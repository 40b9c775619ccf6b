"""Names in scripts that the figures' font lacks."""

import io
import logging

import matplotlib.font_manager
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.text import Text
from PIL import Image

from resnet_jax.evaluation import plot_confusion_matrix, plot_overlay, save_figure

# Of no script, so that no font of this computer has them.
CHARS = [chr(0xF5000 + number) for number in range(40)]


def make_font(path, family, char):
    """A font in which one character is a large square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyphs = {".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()}
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({ord(char): "square"})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    font.setupHorizontalHeader(ascent=1000, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


@pytest.fixture
def install(tmp_path):
    """Adds fonts, and takes them away again."""
    fonts = matplotlib.font_manager.fontManager
    before = list(fonts.ttflist)

    def add(family, char):
        fonts.addfont(make_font(tmp_path / f"{family}.ttf", family, char))

    yield add
    fonts.ttflist[:] = before


def curves(name):
    return plot_overlay({name: ([0, 1], [1, 2]), "b": ([0, 1], [2, 1])}, xlabel="x", ylabel="y")


def pixels(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("L")).astype(int)


def test_an_installed_font_has_the_glyph(install, tmp_path, caplog):
    install("Squares", CHARS[0])
    install("Others", CHARS[1])
    figure = curves(f"{CHARS[0]} and {CHARS[1]}")
    save_figure(figure, tmp_path / "figure")
    (text, _) = figure.legends[0].get_texts()
    assert text.get_fontfamily() == ["DejaVu Sans", "Squares", "Others"]
    assert not caplog.records
    # Two black squares, which no font of letters has.
    image = pixels(figure)
    figure.draw_without_rendering()
    box = text.get_window_extent()
    ink = image[-int(box.y1) : -int(box.y0), int(box.x0) : int(box.x1)]
    assert (ink < 50).mean() > 0.1


def test_a_font_that_is_installed_later_is_found(install):
    figure = curves(CHARS[2])
    figure.draw_without_rendering()
    install("Later", CHARS[2])
    figure.draw_without_rendering()
    assert figure.legends[0].get_texts()[0].get_fontfamily() == ["DejaVu Sans", "Later"]


def test_what_no_font_has_is_named_once(caplog):
    names = [f"{char}\ufe0f{CHARS[3]}" for char in CHARS[4:30]]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            figure = plot_confusion_matrix(np.eye(26, dtype=int), class_names=names)
            figure.draw_without_rendering()
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"no installed font has a glyph for {CHARS[3]} (U+F5003), {CHARS[4]} (U+F5004)"
    )
    assert record.getMessage().endswith("and 7 more; figures show boxes in their place")
    assert len(record.getMessage().splitlines()) == 1


def test_fonts_are_searched_only_where_one_is_lacking(monkeypatch):
    class NoList(list):
        def __iter__(self):
            raise AssertionError("the fonts were searched")

    fonts = matplotlib.font_manager.fontManager
    curves("a").draw_without_rendering()
    monkeypatch.setattr(fonts, "ttflist", NoList(fonts.ttflist))
    figure = curves("Grüße, Ελλάδα, Привет, שלום, مرحبا")
    figure.draw_without_rendering()
    assert len(figure.findobj(Text)) > 5
    with pytest.raises(AssertionError, match="were searched"):
        curves(CHARS[31])
