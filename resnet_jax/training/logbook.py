"""The run's log: one JSON object a line, in ``metrics.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
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

    def write(self, event: str, step: int, **values: Any) -> None:
        """Adds an event.

        Raises:
            ValueError: for a value that JSON cannot hold, such as NaN.
        """
        record = {"event": event, "step": step, **values}
        self._pending.append(json.dumps(record, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Writes what is pending to the disk."""
        if self._pending:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._pending)
                file.flush()
                os.fsync(file.fileno())
            self._pending.clear()

    def cut(self, step: int) -> None:
        """Drops what was logged after a step, and a last line that was not written whole.

        Args:
            step: the last step to keep.
        """
        self._pending.clear()
        if not self.path.exists():
            return
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            for record in read_log(self.path):
                if record["step"] <= step:
                    file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the events of a ``metrics.jsonl``, in order; a torn last line is left out.

    Raises:
        ValueError: naming the line, if another line is not JSON.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
