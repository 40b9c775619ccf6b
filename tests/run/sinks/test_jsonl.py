"""The log: written on flush, put in the place of what was there, torn ends left out."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_jax.run.sinks import JsonLines, RunStart, read_log


def begin(path, *numbers):
    lines = JsonLines(path)
    events = [{"event": "step", "step": number} for number in numbers]
    lines.begin(RunStart("run", "ab12", step=len(numbers), events=events))
    return lines


def steps(path):
    return [event["step"] for event in read_log(path)]


def test_begin_log_flush(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    lines = begin(path)
    assert path.read_bytes() == b""
    for step in (1, 2, 3):
        lines.log({"event": "step", "step": step, "loss": 0.5 * step})
    assert path.read_bytes() == b""
    lines.flush()
    assert path.read_text() == "".join(
        f'{{"event": "step", "step": {step}, "loss": {0.5 * step}}}\n' for step in (1, 2, 3)
    )
    with path.open("a") as file:
        file.write('{"event": "st')
    assert steps(path) == [1, 2, 3]
    lines = begin(path, 1, 2)
    lines.log({"event": "step", "step": 3})
    lines.finish()
    assert steps(path) == [1, 2, 3]
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.jsonl"]


def test_a_log_that_was_removed_does_not_go_on_without_its_beginning(tmp_path):
    lines = begin(tmp_path / "metrics.jsonl", 1)
    lines.path.unlink()
    lines.log({"event": "step", "step": 2})
    with pytest.raises(FileNotFoundError):
        lines.flush()
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_plain_ones(tmp_path):
    lines = begin(tmp_path / "metrics.jsonl")
    lines.log({"step": np.int64(3), "loss": np.float32(0.25), "accuracy": np.array(1.5)})
    lines.flush()
    assert lines.path.read_text() == '{"step": 3, "loss": 0.25, "accuracy": 1.5}\n'


def test_nan_has_no_place(tmp_path):
    lines = begin(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="nan, which JSON cannot hold"):
        lines.log({"step": 1, "loss": math.nan})
    lines.flush()
    assert lines.path.read_bytes() == b""


def test_events_that_cannot_be_written_leave_the_file_as_it_was(tmp_path):
    lines = begin(tmp_path / "metrics.jsonl", 1)
    before = lines.path.read_bytes()
    with pytest.raises(ValueError, match="nan, which JSON cannot hold"):
        lines.begin(RunStart("run", "ab12", step=1, events=[{"step": 1, "loss": math.nan}]))
    assert lines.path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("line", "message"), [("nonsense", "line 2 is not JSON"), ("7", "line 2 is not a JSON object")]
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(ValueError, match=message):
        list(read_log(path))


LINES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"{}", b'{"step": 1}', b"[" * 20_000, b'{"step": 1e999}', b"\xff", b"NaN"]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(LINES, max_size=5), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path, lines, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n" * (not torn))
    try:
        events = list(read_log(path))
    except ValueError as caught:
        error = str(caught)
    else:
        assert all(isinstance(event, dict) for event in events)
        return
    assert "\n" not in error
    assert "metrics.jsonl, line" in error
