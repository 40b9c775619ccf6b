"""Where the numbers and figures of a run go: files, TensorBoard, experiment trackers."""

from .base import RunStart, Sink, SinkGroup
from .jsonl import JsonLines, read_log

__all__ = ["JsonLines", "RunStart", "Sink", "SinkGroup", "read_log"]
