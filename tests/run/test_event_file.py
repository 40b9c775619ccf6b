"""TensorBoard's file: its bytes, and that it holds the log's numbers once, whatever happened."""

import numpy as np
import pytest

from resnet_jax.run import EventFile, Logbook, event_files, read_event_file
from resnet_jax.run.sinks.records import framed, read_records

# Written by TensorBoard 2.21's own classes: the times are 2.5 s, 2.5 s and 1.5 s of the epoch.
VERSION = "0900000000000004401a0d627261696e2e4576656e743a32"
START = "0900000000000004403a020801"
STEP = (
    "09000000000000f83f10ac022a230a0b0a046c6f7373150000803e0a140a0d6c6561726e696e675f72617465"
    "1500000000"
)
# A learning rate of 0 is a number, too.
EVENT = {"event": "step", "step": 300, "epoch": 2, "loss": 0.25, "learning_rate": 0.0}


def at(monkeypatch, seconds):
    monkeypatch.setattr("time.time", lambda: seconds)


def steps(*numbers):
    return [
        {"event": "step", "step": step, "epoch": 1, "loss": step / 10, "learning_rate": 0.1}
        for step in numbers
    ]


def read(folder):
    """(tag, step) and time, in order, of all event files there."""
    return [
        ((scalar.tag, scalar.step), scalar.wall_time)
        for path in event_files(folder)
        for scalar in read_event_file(path)
    ]


def test_bytes_are_tensorboards(tmp_path, monkeypatch):
    events = EventFile(tmp_path)
    at(monkeypatch, 2.5)
    events.rewrite(())
    at(monkeypatch, 1.5)
    events.write(EVENT)
    events.flush()
    (path,) = event_files(tmp_path)
    assert "tfevents" in path.name
    with path.open("rb") as file:
        assert [data.hex() for data in read_records(file)] == [VERSION, START, STEP]


def test_scalars_of_every_event(tmp_path):
    events = EventFile(tmp_path)
    events.write(EVENT)
    epoch = {"event": "epoch", "step": 300, "train_accuracy": 90.0, "valid_accuracy": 80.1}
    events.write({**epoch, "learning_rate": 0.1, "seconds": 9.0})
    events.write({"event": "test", "step": 300, "test_accuracy": 70.0})
    events.write({"event": "another", "step": 300})
    events.flush()
    assert [scalar[:3] for path in event_files(tmp_path) for scalar in read_event_file(path)] == [
        ("loss", 300, 0.25),
        ("learning_rate", 300, 0.0),
        ("accuracy/train", 300, 90.0),
        ("accuracy/validation", 300, float(np.float32(80.1))),
        ("accuracy/test", 300, 70.0),
    ]


def test_a_resume_keeps_times_and_leaves_no_gap_and_no_duplicate(tmp_path, monkeypatch):
    """The old file has steps 1, 2 and 5 and is torn; the run goes on after step 3."""
    first = Logbook(tmp_path / "metrics.jsonl")
    at(monkeypatch, 100.0)
    for event in steps(1, 2, 5):
        first.write(event)
    first.flush()
    (old,) = event_files(tmp_path)
    with old.open("ab") as file:
        file.write(framed(b"cut")[:-2])
    second = Logbook(tmp_path / "metrics.jsonl")
    at(monkeypatch, 200.0)
    second.rewrite(steps(1, 2, 3))
    for event in steps(4, 5):
        second.write(event)
    second.flush()
    times = [100.0, 100.0, 200.0, 200.0, 200.0]
    assert read(tmp_path) == [
        ((tag, step), times[step - 1]) for step in range(1, 6) for tag in ("loss", "learning_rate")
    ]
    (new,) = event_files(tmp_path)
    assert new.name > old.name
    assert {path.name for path in tmp_path.iterdir()} == {new.name, "metrics.jsonl"}


def test_two_files_become_one(tmp_path):
    """As a process leaves them that is killed between writing the new and removing the old."""
    for name, numbers in (("1", (1, 2)), ("2", (1, 2))):
        part = EventFile(tmp_path / name)
        part.folder.mkdir()
        part.rewrite(steps(*numbers))
        event_files(part.folder)[0].rename(tmp_path / event_files(part.folder)[0].name)
    assert len(event_files(tmp_path)) == 2
    (tmp_path / ".events.tmp").write_bytes(b"half")
    EventFile(tmp_path).rewrite(steps(1))
    assert len(event_files(tmp_path)) == 1
    assert [key for key, _ in read(tmp_path)] == [("loss", 1), ("learning_rate", 1)]
    assert not (tmp_path / ".events.tmp").exists()


def test_any_bytes_in_a_record(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(framed(b"\xff\xff\xff"))
    assert list(read_event_file(path)) == []
    EventFile(tmp_path).rewrite(steps(1))
    assert len(read(tmp_path)) == 2


def test_a_disk_that_takes_nothing(tmp_path, monkeypatch):
    """The file is as it was, and what was to be written is not forgotten."""
    events = EventFile(tmp_path)
    events.rewrite(steps(1))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            events.rewrite(steps(2))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    folder = tmp_path.rename(tmp_path.with_name("away"))
    events.write(steps(2)[0])
    with pytest.raises(OSError, match="No such file"):
        events.flush()
    folder.rename(tmp_path)
    events.flush()
    assert [key for key, _ in read(tmp_path)][::2] == [("loss", 1), ("loss", 2)]
