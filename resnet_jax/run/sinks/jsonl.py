"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...storage import atomic_path, dumps
from .append import append
from .base import RunStart, Sink


class JsonLines(Sink):
    """A file of JSON lines, one an event.

    Events are kept in memory until `flush`, so that the file stays closed in between.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[str] = []
        self._begun = False

    def begin(self, start: RunStart) -> None:
        """Replace the file by one with the events of `start`.

        Raises:
            OSError: if the disk does not take them; the file stays as it was.
        """
        with atomic_path(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(map(_line, start.events))
        self._pending.clear()
        self._begun = True

    def log(self, event: Mapping[str, Any]) -> None:
        """Keep an event until `flush`.

        Raises:
            ValueError: for a value that JSON cannot hold, such as NaN.
        """
        self._pending.append(_line(event))

    def flush(self) -> None:
        """Append what is pending to the file, and wait until it is on the disk.

        Raises:
            OSError: if the disk does not take it, or the file that `begin` made is gone; it stays
                pending, and the file as it was.
        """
        if not self._pending:
            return
        # A log that was removed must not go on without its beginning.
        append(self.path, "".join(self._pending).encode(), create=not self._begun)
        self._pending.clear()

    def finish(self) -> None:
        """Flush."""
        self.flush()


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
