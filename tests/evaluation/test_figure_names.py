"""Figures show names as they are: nothing is markup, and none costs a figure."""

import contextlib
import html
import io
import re

import matplotlib
import numpy as np
import pytest
from awkward import NAMES
from matplotlib.figure import Figure
from matplotlib.text import Text

from resnet_jax.evaluation import (
    plot_confusion_matrix,
    plot_explanations,
    plot_image_rows,
    plot_overlay,
    save_figure,
    show_examples,
)
from resnet_jax.evaluation.figures.svg import inline_svg

IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


def examples(*names):
    shown = np.arange(4) % len(names)
    return show_examples(IMAGES, shown, shown, names)


def explanations(*names):
    shown, maps = np.arange(4) % len(names), np.zeros((4, 8, 8))
    return plot_explanations(IMAGES, shown, shown, names, cam=maps, saliency=maps)


def matrix(*names):
    return plot_confusion_matrix(
        np.eye(len(names) + 1, dtype=int), class_names=[*names, "b"], colorbar=True
    )


def curves(*names):
    labels = {"xlabel": names[0][:30], "ylabel": names[-1][:30]}
    return plot_overlay({name: ([0, 1], [1, 2]) for name in (*names, "b")}, **labels)


def rows(*names):
    return plot_image_rows(dict.fromkeys(names, IMAGES))


DRAWINGS = {drawing.__name__: drawing for drawing in (examples, explanations, matrix, curves, rows)}


@pytest.fixture(params=DRAWINGS)
def drawing(request):
    return DRAWINGS[request.param]


def shown(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("start", range(0, len(NAMES), 4))
def test_any_name_can_be_drawn(drawing, start):
    names = NAMES[start : start + 4]
    figure = drawing(*names)
    for kind in ("png", "pdf"):
        figure.savefig(io.BytesIO(), format=kind, dpi=60)
    inline_svg(figure, name="figure", label="").encode()
    longest = 14 if drawing in (examples, explanations) else 26
    for name in names:
        if name.isprintable() and name.strip() and len(name) <= longest:
            assert name in shown(figure)
    assert not any(text.get_parse_math() or text.get_usetex() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "''"),
        ("  ", "'  '"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\udcff", r"\udcff"),
        ("\u202e", r"\u202e"),
    ],
)
def test_what_cannot_be_shown_is_written_out(drawing, name, text):
    assert text in shown(drawing(name))


NAMED = [drawing for name, drawing in DRAWINGS.items() if name != "curves"]


@pytest.mark.parametrize("drawing", NAMED)
def test_names_may_be_numbers(drawing):
    assert "37" in shown(drawing(np.int64(37), 38))


def test_names_of_curves_may_be_numbers():
    figure = plot_overlay({np.int64(37): ([0], [1]), 38: ([0], [2])}, xlabel="x", ylabel="y")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["37", "38"]


@pytest.mark.parametrize("drawing", NAMED)
def test_bytes_are_no_names(drawing):
    with pytest.raises(TypeError, match=r"^a name \(=b'cat'\) must be text or a whole number$"):
        drawing(b"cat")


def test_a_long_name_loses_its_middle(drawing):
    assert re.search("headn*…n*tail", shown(drawing("head" + "n" * 500 + "tail")))


def sizes(figure):
    """Return the sizes of the texts that contain any name."""
    return [text.get_fontsize() for text in figure.findobj(Text) if "cat" in text.get_text()]


@pytest.mark.parametrize("length", [20, 60, 500])
def test_a_long_name_leaves_the_other_names_legible(drawing, length):
    """In points; the names of CIFAR-100 are shown in full at that size."""
    found = sizes(drawing("cat", "head" + "n" * length + "tail"))
    assert found
    assert min(found) >= (6 if drawing is matrix else 4)
    assert "aquarium_fish" in shown(drawing("cat", "aquarium_fish"))


def test_a_long_name_leaves_room_for_the_matrix():
    figure = plot_confusion_matrix(
        np.eye(2, dtype=int), class_names=["a class " * 99, "another " * 99]
    )
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_window_extent().width > 0.4 * figure.bbox.width
    assert axes.get_tightbbox().x0 >= 0


@pytest.mark.parametrize("settings", [{"text.usetex": True}, {"text.parse_math": True}])
def test_settings_of_the_user_make_no_text_markup(drawing, settings):
    with matplotlib.rc_context(settings):
        drawing(r"$\frac{$").savefig(io.BytesIO(), format="png", dpi=60)


def test_a_curve_whose_name_begins_with_an_underscore_is_in_the_legend():
    (legend,) = curves("_hidden").legends
    assert [text.get_text() for text in legend.get_texts()] == ["_hidden", "b"]


def test_text_of_an_svg_is_not_rewritten():
    name = 'id="x" url(#y) #000000'
    text = inline_svg(curves(name), name="fig", label=name)
    assert name in re.sub(r"<[^>]*>", "", text).replace("&quot;", '"')
    assert 'id="fig-' in text
    # Its label neither.
    (label,) = re.findall(r'<svg role="img" aria-label="([^"]*)"', text)
    assert html.unescape(label) == name


def test_labels_of_logarithmic_axes_need_no_markup():
    figure = plot_overlay(
        {"a": ([0, 1], [0.1, 0.001])}, xlabel="x", ylabel="y", log_y=True, steps=True
    )
    figure.draw_without_rendering()
    assert {"10⁻¹", "10⁻²", "10⁻³"} <= set(shown(figure).split("\n"))
    narrow = plot_overlay({"a": ([0, 1], [0.02, 0.04])}, xlabel="x", ylabel="y", log_y=True)
    narrow.draw_without_rendering()
    assert "3×10⁻²" in shown(narrow).split("\n")


def test_a_figure_of_the_user_keeps_its_mathematics(tmp_path):
    figure = Figure()
    title = figure.add_subplot().set_title("$x^2$")
    save_figure(figure, tmp_path / "figure")
    assert title.get_parse_math()


@contextlib.contextmanager
def no_output(capfd, caplog):
    yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_ordinary_names_say_nothing(drawing, capfd, caplog):
    with no_output(capfd, caplog):
        drawing("naïve Straße Ελλάδα").savefig(io.BytesIO(), format="png")
