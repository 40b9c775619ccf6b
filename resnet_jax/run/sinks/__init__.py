"""Where the numbers and figures of a run go: files, TensorBoard, experiment trackers."""

from .base import RunStart, Sink, SinkGroup
from .jsonl import JsonLines, read_log
from .tensorboard import TensorBoard

__all__ = ["JsonLines", "RunStart", "Sink", "SinkGroup", "TensorBoard", "read_log"]
