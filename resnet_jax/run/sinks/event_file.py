"""TensorBoard's event file: the numbers of the log as scalars, without TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.text_format import Parse

from .records import framed, read_records, to_disk

PREFIX = "events.out.tfevents."
SCALARS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "step": {"loss": "loss", "learning_rate": "learning_rate"},
        "epoch": {"train_accuracy": "accuracy/train", "valid_accuracy": "accuracy/validation"},
        "test": {"test_accuracy": "accuracy/test"},
    }
)
"""TensorBoard's tags, by the log's event and its field."""

_SCHEMA = """
name: "event.proto" package: "resnet_jax" syntax: "proto2"
message_type { name: "Event"
  field { name: "wall_time" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "step" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "file_version" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "summary" number: 5 type_name: "Summary" label: LABEL_OPTIONAL }
  field { name: "session_log" number: 7 type_name: "SessionLog" label: LABEL_OPTIONAL }
}
message_type { name: "Summary"
  field { name: "value" number: 1 type_name: "Value" label: LABEL_REPEATED }
}
message_type { name: "Value"
  field { name: "tag" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "simple_value" number: 2 type: TYPE_FLOAT label: LABEL_OPTIONAL }
}
message_type { name: "SessionLog"
  field { name: "status" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
}
"""
"""What is used of TensorFlow's event.proto and summary.proto; a session log of status 1 starts."""

_pool = DescriptorPool()
_pool.Add(Parse(_SCHEMA, FileDescriptorProto()))
Event = GetMessageClass(_pool.FindMessageTypeByName("resnet_jax.Event"))


class Scalar(NamedTuple):
    """A number of an event file.

    Attributes:
        tag: as in ``SCALARS``.
        step: optimizer steps done.
        value: as float32.
        wall_time: when it was written first, in seconds of the epoch.
    """

    tag: str
    step: int
    value: float
    wall_time: float


class EventFile:
    """The one event file of a run, which holds what the log holds.

    After a resume the file is replaced by a new one, as the log is: no number is missing and none
    is there twice. Numbers that were there keep their times. TensorBoard, if it is looking on,
    takes the new file for the run from its first step.

    Records are kept in memory until ``flush``; there is no thread, and no file stays open.

    Attributes:
        folder: where the file is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pending: list[bytes] = []

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds the scalars of an event of the log."""
        self._pending.extend(_records(event, time.time()))

    def flush(self) -> None:
        """Writes what is pending to the disk.

        Raises:
            OSError: if the disk does not take it; what is pending stays so.
        """
        if self._pending:
            paths = event_files(self.folder)
            records = self._pending if paths else [*_head(), *self._pending]
            with (paths[-1] if paths else self._new_path()).open("ab") as file:
                file.writelines(records)
                to_disk(file)
            self._pending.clear()

    def rewrite(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Puts the scalars of these events in the place of what is there and of what is pending.

        Raises:
            OSError: if the disk does not take them; the old file stays.
        """
        before = event_files(self.folder)
        times: dict[int, float] = {}
        for path in before:
            for scalar in read_event_file(path):
                times.setdefault(scalar.step, scalar.wall_time)
        now = time.time()
        # Not under a name that TensorBoard would look into.
        temporary = self.folder / ".events.tmp"
        try:
            with temporary.open("wb") as file:
                file.writelines(_head())
                for event in events:
                    file.writelines(_records(event, times.get(event["step"], now)))
                to_disk(file)
            # TensorBoard would go on reading the old file if the new one had its name.
            temporary.replace(self._new_path())
        finally:
            temporary.unlink(missing_ok=True)
        for path in before:
            path.unlink(missing_ok=True)
        self._pending.clear()

    def _new_path(self) -> Path:
        """Sorts after those that were there, as TensorBoard reads them."""
        return self.folder / f"{PREFIX}{time.time_ns()}.resnet_jax"


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"))


def read_event_file(path: Path) -> Iterator[Scalar]:
    """Yields the scalars of an event file up to its end, or to the first damaged record."""
    with path.open("rb") as file:
        for data in read_records(file):
            try:
                event = Event.FromString(data)
            except DecodeError:
                return
            for value in event.summary.value:
                yield Scalar(value.tag, event.step, value.simple_value, event.wall_time)


def _records(event: Mapping[str, Any], wall_time: float) -> Iterator[bytes]:
    """The record of an event, if TensorBoard shows anything of it."""
    values = [
        {"tag": tag, "simple_value": event[name]}
        for name, tag in SCALARS.get(event["event"], {}).items()
        if name in event
    ]
    if values:
        yield _record(wall_time=wall_time, step=event["step"], summary={"value": values})


def _head() -> Iterator[bytes]:
    """Begins a file: its version, and that what was read of this run before is void."""
    now = time.time()
    yield _record(wall_time=now, file_version="brain.Event:2")
    yield _record(wall_time=now, session_log={"status": 1})


def _record(**values: Any) -> bytes:
    return framed(Event(**values).SerializeToString())
