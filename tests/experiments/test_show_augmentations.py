"""The figure of the augmentations, and one line for each mistake."""

import re

import pytest
from PIL import Image

from experiments import show_augmentations
from resnet_jax.data import AUGMENTATIONS


def test_the_figure(tmp_path):
    out = tmp_path / "figures/augmentations.png"
    arguments = ["--augment", "flip:1", "cutout", "--out", str(out)]
    assert show_augmentations.main(arguments) == 0
    with Image.open(out) as image:
        assert image.width > 1000
        assert 0.2 < image.height / image.width < 0.3
    assert out.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_every_augmentation_is_drawn_by_default():
    drawn = {spec.split(":")[0] for spec in show_augmentations.Options().augment}
    assert drawn >= set(AUGMENTATIONS)


@pytest.mark.parametrize("name", ["a.png", "a.pdf"])
def test_no_figure_is_replaced(tmp_path, capsys, name):
    (tmp_path / name).write_text("precious")
    arguments = ["--augment", "flip", "--out", str(tmp_path / "a.png")]
    assert show_augmentations.main(arguments) == 2
    assert f"`out` (={tmp_path / name}) exists; --overwrite" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]
    assert show_augmentations.main([*arguments, "--overwrite"]) == 0
    assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--dataset mnist",
            r"`dataset` \(='mnist'\) must be one of cifar10, .*, digits$",
        ),
        ("--augment blur", r"`augment` \(='blur'\) must be one of crop, "),
        ("--out figure.jpg", r"`out` \(=figure.jpg\) must end in .png or .pdf"),
        ("--seed -1", r"`seed` \(=-1\) must be in"),
    ],
)
def test_mistakes(line, message, capsys):
    assert show_augmentations.main(line.split()) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error)
    assert re.search(message, error)
