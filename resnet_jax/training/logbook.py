"""The run's log: one JSON object a line, in ``metrics.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Logbook:
    """Appends events to a file of JSON lines.

    Each event has ``event`` (``"step"`` or ``"epoch"``) and ``step``, the optimizer steps done
    when it happened. Lines are kept in memory until ``flush``.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[str] = []

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds an event.

        Raises:
            ValueError: for a value that JSON cannot hold, such as NaN.
        """
        self._pending.append(_line(event))

    def flush(self) -> None:
        """Writes what is pending to the disk.

        Raises:
            OSError: if the disk does not take it; what is pending stays so.
        """
        if self._pending:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._pending)
                _to_disk(file)
            self._pending.clear()

    def rewrite(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Puts these events, and no others, in the place of the file and of what is pending.

        Raises:
            OSError: if the disk does not take them; the file is as it was.
        """
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(map(_line, events))
                _to_disk(file)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._pending.clear()


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, allow_nan=False) + "\n"


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


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
