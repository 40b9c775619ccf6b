"""The log: written on flush, cut at a step, torn ends left out."""

import pytest

from resnet_jax.training import Logbook, read_log


def test_write_flush_cut(tmp_path):
    logbook = Logbook(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        logbook.write("step", step, loss=0.1 * step)
    assert not logbook.path.exists()
    logbook.flush()
    assert [record["step"] for record in read_log(logbook.path)] == [1, 2, 3]
    with logbook.path.open("a") as file:
        file.write('{"event": "st')
    assert len(list(read_log(logbook.path))) == 3
    logbook.write("step", 4)
    logbook.cut(2)
    logbook.flush()
    assert [record["step"] for record in read_log(logbook.path)] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_nan_has_no_place(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Logbook(tmp_path / "metrics.jsonl").write("step", 1, loss=float("nan"))


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        list(read_log(path))


def test_cut_without_a_log(tmp_path):
    Logbook(tmp_path / "metrics.jsonl").cut(0)
    assert not list(tmp_path.iterdir())
