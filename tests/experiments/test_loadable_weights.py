"""The table of the weights that load, made of rows by hand."""

import sys

from experiments.loadable_weights import Weights, main, table
from resnet_jax.data import ImageTransform

ROWS = [
    Weights("timm", "ResNet", "resnet18", "a1", ImageTransform(interpolation="bicubic"), ""),
    Weights("timm", "ResNet", "resnet18", "a2", ImageTransform(), ""),
    Weights("timm", "ResNet", "resnet99", "a1", None, "no such variant"),
]


def test_one_row_a_family_and_what_does_not_load():
    *_, row, obstacle = table(ROWS)
    assert row == "| timm | ResNet | 2 | 3 | 2 | bicubic 1, bilinear 1 |"
    assert obstacle == "\n`resnet99.a1` of timm does not load: no such variant"


def test_one_row_each():
    rows = list(table(ROWS, every=True))[2:]
    assert rows[0] == "| timm | resnet18 | a1 | yes | 256 → 224 px, bicubic, center |"
    assert rows[2] == "| timm | resnet99 | a1 | no such variant | none |"


def test_without_timm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert main([]) == 2
    assert capsys.readouterr().err.endswith("both are needed: pip install timm torchvision\n")
