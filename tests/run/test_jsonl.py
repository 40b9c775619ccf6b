"""The log: written on flush, put in the place of what was there, torn ends left out."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_jax.run import Logbook, event_files, read_log


def steps(path):
    return [event["step"] for event in read_log(path)]


def assert_no_other_files(folder):
    """Than the log and the one event file beside it."""
    names = {path.name for path in folder.iterdir()}
    assert names == {"metrics.jsonl", *(path.name for path in event_files(folder))}
    assert len(names) == 2


def test_write_flush_rewrite(tmp_path):
    logbook = Logbook(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        logbook.write({"event": "step", "step": step, "loss": 0.1 * step})
    assert not logbook.path.exists()
    logbook.flush()
    assert steps(logbook.path) == [1, 2, 3]
    with logbook.path.open("a") as file:
        file.write('{"event": "st')
    assert steps(logbook.path) == [1, 2, 3]
    logbook.write({"event": "step", "step": 4})
    logbook.rewrite({"event": "step", "step": step} for step in (1, 2))
    logbook.flush()
    assert steps(logbook.path) == [1, 2]
    assert_no_other_files(tmp_path)


def test_nan_has_no_place(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Logbook(tmp_path / "metrics.jsonl").write({"step": 1, "loss": float("nan")})


@pytest.mark.parametrize(
    ("line", "message"), [("nonsense", "line 2 is not JSON"), ("7", "line 2 is not a JSON object")]
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(ValueError, match=message):
        list(read_log(path))


def test_a_disk_that_takes_nothing(tmp_path, monkeypatch):
    """The file is as it was, and what was to be written is not forgotten."""
    logbook = Logbook(tmp_path / "metrics.jsonl")
    logbook.write({"event": "step", "step": 1, "loss": 0.5})
    logbook.flush()
    before = logbook.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            logbook.rewrite([{"event": "step", "step": 2}])
    assert logbook.path.read_bytes() == before
    assert_no_other_files(tmp_path)


def test_a_folder_that_is_gone(tmp_path):
    """What was to be written is not forgotten."""
    folder = tmp_path / "run"
    folder.mkdir()
    logbook = Logbook(folder / "metrics.jsonl")
    logbook.write({"event": "step", "step": 1, "loss": 0.5})
    folder.rename(tmp_path / "away")
    with pytest.raises(OSError, match="No such file"):
        logbook.flush()
    (tmp_path / "away").rename(folder)
    logbook.flush()
    assert steps(logbook.path) == [1]


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
