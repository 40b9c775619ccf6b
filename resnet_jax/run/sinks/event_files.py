"""TensorBoard's event files: how they are written and read, without TensorFlow.

An event file is a row of TFRecords, each of which holds an `Event` protocol buffer. tensorboardX
has the protocol buffers, the images and the writer of records, which is given a file here that
takes all of what is flushed or nothing. Its `SummaryWriter` is not used: it passes records to a
thread, which ends without a word when the disk is full. It has no reader.

References:
    https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter, masked_crc32c, register_writer_factory

from .append import append
from .pixels import pixels
from .scalars import scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCHEME = "resnet_jax"
PREFIX = "events.out.tfevents."
"""Beginning of the names of event files; the nanoseconds of the epoch follow."""


class Scalar(NamedTuple):
    """A number that TensorBoard shows.

    Attributes:
        step: optimizer steps done.
        tag: name of its curve.
        value: as float32.
        wall_time: when it was written, in seconds of the epoch.
    """

    step: int
    tag: str
    value: float
    wall_time: float


class EventFile:
    """A new event file, which TensorBoard reads after those that are in the folder already.

    Records are kept in memory until `flush`, so that the file stays closed in between.

    Attributes:
        path: the file; `flush` makes it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = _new_path(folder)
        self._records = RecordWriter(f"{_SCHEME}:{self.path}")
        self.add(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, event: Event) -> None:
        """Keep an event until `flush`."""
        self._records.write(event.SerializeToString())

    def add_scalars(self, event: Mapping[str, Any]) -> None:
        """Keep the numbers of a run's event, if it has any, until `flush`."""
        for record in scalar_events([event]):
            self.add(record)

    def add_figure(self, name: str, figure: Figure, step: int) -> None:
        """Draw a figure, and keep the image under the tag `name` until `flush`."""
        image = summary.image(name, pixels(figure), dataformats="HWC")
        self.add(Event(wall_time=time.time(), step=step, summary=image))

    def flush(self) -> None:
        """Append what is pending to the file, and wait until it is on the disk.

        Raises:
            OSError: if the disk does not take it, or the file is gone; it stays pending, and the
                file as it was.
        """
        self._records.flush()


class _Appended:
    """A file that is closed between two flushes, each of which appends everything or nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._pending, self._made = path, bytearray(), False

    def write(self, data: bytes) -> None:
        """Keep bytes until `flush`."""
        self._pending += data

    def flush(self) -> None:
        """Append what is pending; see `append`."""
        if self._pending:
            append(self._path, bytes(self._pending), create=not self._made)
            self._made = True
            self._pending.clear()


class _Factory:
    """Opens a file for a `RecordWriter`, whose path begins with `_SCHEME` and a colon."""

    def open(self, path: str) -> _Appended:
        """Return the file; nothing is written yet."""
        return _Appended(Path(path.removeprefix(f"{_SCHEME}:")))


register_writer_factory(_SCHEME, _Factory())


def purge_event(step: int) -> Event:
    """Return an event that tells TensorBoard to forget what it has read of `step` and after."""
    session = SessionLog(status=SessionLog.START)
    return Event(wall_time=time.time(), step=step, session_log=session)


def scalar_events(events: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    """Yield the numbers of a run's events, one event for each that has any."""
    for event in events:
        values = [
            value
            for tag, number in scalars(event).items()
            for value in summary.scalar(tag, number).value
        ]
        if values:
            yield Event(wall_time=time.time(), step=event["step"], summary=Summary(value=values))


def read_scalars(folder: Path) -> list[Scalar]:
    """Return the numbers that TensorBoard shows of a folder's event files.

    Args:
        folder: the event files lie in it, not in folders below.
    """
    shown: list[Scalar] = []
    for path in event_paths(folder):
        for event in _read_events(path):
            if event.session_log.status == SessionLog.START:
                shown = [scalar for scalar in shown if scalar.step < event.step]
            shown.extend(numbers(event))
    return shown


def numbers(event: Event) -> Iterator[Scalar]:
    """Yield the numbers of an event."""
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield Scalar(event.step, value.tag, value.simple_value, event.wall_time)


def event_paths(folder: Path) -> list[Path]:
    """Return the event files of a folder, in the order in which TensorBoard reads them."""
    return sorted(folder.glob(f"{PREFIX}*"))


def _new_path(folder: Path) -> Path:
    stamps = (path.name.removeprefix(PREFIX).split(".")[0] for path in event_paths(folder))
    # The clock of another machine may be behind.
    after = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=0) + 1
    return folder / f"{PREFIX}{max(time.time_ns(), after)}.resnet_jax"


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))


def _read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a file up to its end, or to the first record that is torn or damaged."""
    with path.open("rb") as file:
        for data in _read_records(file):
            yield Event.FromString(data)


def _read_records(file: BinaryIO) -> Iterator[bytes]:
    while True:
        length, check = file.read(8), file.read(4)
        if len(check) < 4 or check != _checksum(length):
            return
        size = int.from_bytes(length, "little")
        data, check = file.read(size), file.read(4)
        if len(data) < size or check != _checksum(data):
            return
        yield data
