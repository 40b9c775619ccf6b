"""What every sink promises, whatever happens to the run; and a group of them."""

import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb_stand_in import WandB

from resnet_jax.run.sinks import (
    SINKS,
    JsonLines,
    RunStart,
    Sink,
    SinkGroup,
    TensorBoard,
    Tracker,
    make_sink,
    read_log,
)
from resnet_jax.run.sinks.scalars import scalars


def _step(step):
    epoch = (step + 2) // 3
    return {"event": "step", "step": step, "epoch": epoch, "loss": 1 / step, "learning_rate": 0.1}


def _epoch(step):
    accuracies = {"train_accuracy": 20.0 + step, "valid_accuracy": 10.1 + step}
    rest = {"epoch": step // 3, "learning_rate": 0.1, "seconds": 2.5}
    return {"event": "epoch", "step": step, **accuracies, **rest}


EVENTS = [
    *[_step(1), _step(2), _step(3), _epoch(3)],
    *[_step(4), _step(5), _step(6), _epoch(6)],
    {"event": "test", "step": 6, "test_accuracy": 33.3},
]
"""The log of a run of two epochs of three steps."""


def numbers(events):
    """(step, name, value) in order of steps and names."""
    return sorted(
        (event["step"], name, float(np.float32(value)))
        for event in events
        for name, value in scalars(event).items()
    )


class Case:
    """A kind of sink: how one is made, and what its store shows."""

    appends_only = False

    def __init__(self, folder):
        self.folder = folder

    def shown(self):
        raise NotImplementedError


class Lines(Case):
    def sink(self):
        return JsonLines(self.folder / "metrics.jsonl")

    def shown(self):
        return numbers(read_log(self.folder / "metrics.jsonl"))

    def figures(self):
        return None


class Board(Case):
    def sink(self):
        return TensorBoard(self.folder)

    def _read(self):
        return EventAccumulator(str(self.folder), {"scalars": 0, "images": 0}).Reload()

    def shown(self):
        read = self._read()
        return sorted(
            (event.step, tag, event.value)
            for tag in read.Tags()["scalars"]
            for event in read.Scalars(tag)
        )

    def figures(self):
        read = self._read()
        return [(tag, image.step) for tag in read.Tags()["images"] for image in read.Images(tag)]


class Weights(Case):
    appends_only = True

    def __init__(self, folder):
        super().__init__(folder)
        self.server = WandB()

    def sink(self):
        return Tracker("wandb", self.folder, module=self.server)

    def _rows(self):
        return self.server.rows.get("ab12", {}).values()

    def shown(self):
        assert not self.server.refused
        return sorted(
            (row["global_step"], name, float(np.float32(value)))
            for row in self._rows()
            for name, value in row.items()
            if name != "global_step" and not isinstance(value, WandB.Image)
        )

    def figures(self):
        return [
            (name, row["global_step"])
            for row in self._rows()
            for name, value in row.items()
            if isinstance(value, WandB.Image)
        ]


@pytest.fixture(params=[Lines, Board, Weights])
def case(request, tmp_path):
    return request.param(tmp_path)


def start(events=()):
    step = max((event["step"] for event in events), default=0)
    return RunStart("run", "ab12", {"epochs": 2}, step, tuple(events))


def log(sink, events):
    for event in events:
        sink.log(event)


def test_a_new_run(case):
    sink = case.sink()
    sink.begin(start())
    assert case.shown() == []
    log(sink, EVENTS)
    sink.flush()
    sink.finish()
    assert case.shown() == numbers(EVENTS)


@pytest.mark.parametrize(
    ("flushed", "logged", "resumed"),
    [
        (0, 0, 0),
        (0, 5, 0),
        (2, 3, 2),
        (7, 8, 2),
        (9, 9, 8),
        (9, 9, 9),
        # The checkpoint of step 3 was saved before the epoch was evaluated, and the epoch logged.
        (4, 5, 3),
        (4, 4, 3),
        # It was saved after that.
        (4, 6, 4),
    ],
)
def test_a_killed_run_resumes(case, flushed, logged, resumed):
    """It shows every number once: none is missing, and none is there twice."""
    killed = case.sink()
    killed.begin(start())
    log(killed, EVENTS[:flushed])
    killed.flush()
    log(killed, EVENTS[flushed:logged])
    sink = case.sink()
    sink.begin(start(EVENTS[:resumed]))
    if not case.appends_only:
        assert case.shown() == numbers(EVENTS[:resumed])
    log(sink, EVENTS[resumed:])
    sink.finish()
    assert case.shown() == numbers(EVENTS)


@pytest.mark.parametrize("resumed", [3, 4, 5])
def test_a_stopped_run_resumes(case, resumed):
    """A run that stops by itself finishes its sinks after its last checkpoint."""
    first = case.sink()
    with SinkGroup([first]):
        first.begin(start())
        log(first, EVENTS[:resumed])
    sink = case.sink()
    sink.begin(start(EVENTS[:resumed]))
    log(sink, EVENTS[resumed:])
    sink.finish()
    assert case.shown() == numbers(EVENTS)


def test_killed_again_and_again(case):
    resumed = 0
    for logged in (3, 5, 6, 9):
        sink = case.sink()
        sink.begin(start(EVENTS[:resumed]))
        log(sink, EVENTS[resumed:logged])
        sink.flush()
        resumed = logged - 2
    sink = case.sink()
    sink.begin(start(EVENTS))
    sink.finish()
    assert case.shown() == numbers(EVENTS)


def test_a_sink_that_joins_later(case):
    """It gets what the run had logged without it."""
    sink = case.sink()
    sink.begin(start(EVENTS[:5]))
    log(sink, EVENTS[5:])
    sink.finish()
    assert case.shown() == numbers(EVENTS)


def test_a_sink_that_was_away_for_a_while(case):
    first = case.sink()
    first.begin(start())
    log(first, EVENTS[:2])
    first.finish()
    sink = case.sink()
    sink.begin(start(EVENTS[:7]))
    log(sink, EVENTS[7:])
    sink.finish()
    assert case.shown() == numbers(EVENTS)


def test_numpy_numbers(case):
    event = {"event": "step", "step": np.int64(1), "loss": np.float32(0.25), "learning_rate": 0.5}
    sink = case.sink()
    sink.begin(start())
    sink.log(event)
    sink.finish()
    assert case.shown() == [(1, "learning_rate", 0.5), (1, "loss", 0.25)]


def test_figures(case):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    sink = case.sink()
    sink.begin(start())
    sink.figure("examples", figure, 0)
    log(sink, EVENTS[:4])
    sink.figure("confusion", figure, 3)
    sink.flush()
    log(sink, EVENTS[4:6])
    sink.finish()
    assert case.shown() == numbers(EVENTS[:6])
    figures = case.figures()
    assert figures is None or [name for name, _ in figures] == ["examples", "confusion"]
    assert figures is None or figures[1] == ("confusion", 3)


@contextmanager
def full_disk(longest):
    """Let no file of this process grow beyond a number of bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=[Lines, Board])
def in_files(request, tmp_path):
    return request.param(tmp_path)


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def test_flush_on_a_full_disk(in_files):
    """The error comes through, the file is as it was, and nothing is forgotten or doubled."""
    sink = in_files.sink()
    sink.begin(start())
    log(sink, EVENTS[:4])
    sink.flush()
    path = only_file(in_files.folder)
    before = path.read_bytes()
    log(sink, EVENTS[4:])
    # A record and a half fit.
    with full_disk(len(before) + 100), pytest.raises(OSError, match="File too large"):
        sink.flush()
    assert path.read_bytes() == before
    sink.flush()
    sink.finish()
    assert in_files.shown() == numbers(EVENTS)


def test_begin_on_a_full_disk(in_files):
    """The error comes through, and what the store shows is as it was."""
    sink = in_files.sink()
    sink.begin(start())
    log(sink, EVENTS)
    sink.finish()
    with full_disk(10), pytest.raises(OSError, match="File too large"):
        in_files.sink().begin(start(EVENTS[:3]))
    assert in_files.shown() == numbers(EVENTS)


def test_a_folder_that_is_gone(in_files):
    sink = in_files.sink()
    sink.begin(start())
    sink.log(EVENTS[0])
    away = in_files.folder.rename(in_files.folder.with_name("away"))
    with pytest.raises(OSError, match="No such file"):
        sink.flush()
    away.rename(in_files.folder)
    sink.flush()
    assert in_files.shown() == numbers(EVENTS[:1])


def test_finish_twice(case):
    sink = case.sink()
    sink.begin(start())
    log(sink, EVENTS[:2])
    sink.finish()
    sink.finish()
    assert case.shown() == numbers(EVENTS[:2])


def test_finish_without_begin(case):
    case.sink().finish()


def test_the_base_class_ignores_everything():
    sink = Sink()
    sink.begin(start())
    sink.log(EVENTS[0])
    sink.figure("figure", Figure(), 1)
    sink.flush()
    sink.finish()


class Recorder(Sink):
    """Writes down its calls, and fails in one of them."""

    def __init__(self, calls, name, failing=None):
        self.calls, self.name, self.failing = calls, name, failing

    def _call(self, method):
        self.calls.append((self.name, method))
        if method == self.failing:
            raise OSError(f"{self.name} failed")

    def begin(self, start):
        self._call("begin")

    def log(self, event):
        self._call("log")

    def figure(self, name, figure, step):
        self._call("figure")

    def flush(self):
        self._call("flush")

    def finish(self):
        self._call("finish")


def test_a_group_passes_everything_on():
    calls = []
    with SinkGroup(Recorder(calls, name) for name in "ab") as sinks:
        sinks.begin(start())
        sinks.log(EVENTS[0])
        sinks.figure("figure", Figure(), 1)
        sinks.flush()
    methods = ("begin", "log", "figure", "flush", "finish")
    assert calls == [(name, method) for method in methods for name in "ab"]


def test_a_group_finishes_all_though_one_fails():
    calls = []
    with (
        pytest.raises(OSError, match="a failed"),
        SinkGroup([Recorder(calls, "a", "finish"), Recorder(calls, "b")]),
    ):
        pass
    assert calls == [("a", "finish"), ("b", "finish")]


def test_what_ended_the_run_is_not_hidden_by_a_sink_that_cannot_finish():
    with (
        pytest.raises(KeyboardInterrupt) as caught,
        SinkGroup([Recorder([], "a", "finish")]),
    ):
        raise KeyboardInterrupt
    assert caught.value.__notes__ == ["a sink could not finish: a failed"]


def test_a_group_of_none(tmp_path):
    with SinkGroup() as sinks:
        sinks.begin(start())
        sinks.log(EVENTS[0])
    assert list(tmp_path.iterdir()) == []


def test_sinks_by_name():
    assert isinstance(make_sink("tensorboard", Path("run")), TensorBoard)
    with pytest.raises(ValueError, match=r"`track` \(=tensorbord\) must be one of tensorboard, w"):
        make_sink("tensorbord", Path("run"))
    assert list(SINKS)[:2] == ["tensorboard", "wandb"]
