"""Where the numbers and figures of a run go: files, TensorBoard, experiment trackers."""

from .base import RunStart, Sink, SinkGroup
from .jsonl import JsonLines, read_log
from .table import SINKS, make_sink
from .tensorboard import TensorBoard
from .trackers import TRACKERS, Tracker

__all__ = [
    "SINKS",
    "TRACKERS",
    "JsonLines",
    "RunStart",
    "Sink",
    "SinkGroup",
    "TensorBoard",
    "Tracker",
    "make_sink",
    "read_log",
]
