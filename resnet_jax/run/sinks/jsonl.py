"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...storage import atomic_path, dumps, to_disk
from .append import append
from .base import RunStart, Sink
from .event_file import EventFile


class JsonLines(Sink):
    """A file of JSON lines, one an event.

    Events are kept in memory until `flush`, so that the file stays closed in between.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[str] = []

    def begin(self, start: RunStart) -> None:
        """Replace the file by one with the events of `start`.

        Raises:
            OSError: if the disk does not take them; the file stays as it was.
        """
        with atomic_path(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(map(_line, start.events))
        self._pending.clear()

    def log(self, event: Mapping[str, Any]) -> None:
        """Keep an event until `flush`.

        Raises:
            ValueError: for a value that JSON cannot hold, such as NaN.
        """
        self._pending.append(_line(event))

    def flush(self) -> None:
        """Append what is pending to the file, and wait until it is on the disk.

        Raises:
            OSError: if the disk does not take it; it stays pending, and the file as it was.
        """
        if not self._pending:
            return
        append(self.path, "".join(self._pending).encode())
        self._pending.clear()

    def finish(self) -> None:
        """Flush."""
        self.flush()


class Logbook:
    """Appends events to a file of JSON lines, and their scalars to an event file beside it.

    Each event has ``event`` (``"step"``, ``"epoch"`` or ``"test"``) and ``step``, the optimizer
    steps done when it happened. All is kept in memory until ``flush``.

    Attributes:
        path: the file of JSON lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[str] = []
        self._scalars = EventFile(path.parent)

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds an event.

        Raises:
            ValueError: for a value that JSON cannot hold, such as NaN.
        """
        self._pending.append(_line(event))
        self._scalars.write(event)

    def flush(self) -> None:
        """Writes what is pending to the disk.

        Raises:
            OSError: if the disk does not take it; what is pending stays so.
        """
        if self._pending:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._pending)
                to_disk(file)
            self._pending.clear()
        self._scalars.flush()

    def rewrite(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Puts these events, and no others, in the place of the files and of what is pending.

        Raises:
            OSError: if the disk does not take them; each file is whole, as it was or as it is to
                be.
        """
        events = list(events)
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(map(_line, events))
                to_disk(file)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._pending.clear()
        self._scalars.rewrite(events)


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, allow_nan=False) + "\n"


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a file of JSON lines, in order, without a torn last line.

    Args:
        path: as `JsonLines` wrote it.

    Raises:
        ValueError: naming the line, if another line is not a JSON object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                event = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(event, dict):
                raise ValueError(f"{path}, line {number} is not a JSON object")
            yield event


def _line(event: Mapping[str, Any]) -> str:
    return dumps(event) + "\n"
