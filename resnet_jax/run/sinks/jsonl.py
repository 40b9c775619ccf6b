"""The run's log: one JSON object a line, in ``metrics.jsonl``, and the same for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .event_file import EventFile
from .records import to_disk


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
    """Yields the events of a ``metrics.jsonl``, in order; a torn last line is left out.

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
