"""TensorBoard: the numbers of a run as curves, its figures as images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import RunStart, Sink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .event_files import EventFile


class TensorBoard(Sink):
    """Event files of a run, which `tensorboard --logdir` shows.

    Every start of the run adds a file. Its first record tells TensorBoard to forget what an earlier
    file has from a certain step on: from the first step where the earlier files and the log of the
    run differ, or else from the first step that is still to come. Numbers and figures before that
    step stay, with their times.

    Attributes:
        folder: the event files lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._file: EventFile | None = None

    def begin(self, start: RunStart) -> None:
        """Begin an event file, so that TensorBoard shows exactly the events of `start`.

        Raises:
            OSError: if the disk does not take it.
        """
        # tensorboardX imports torch where that is installed, which takes a second.
        from . import event_files

        wanted = list(event_files.scalar_events(start.events))
        shown = Counter(scalar[:3] for scalar in event_files.read_scalars(self.folder))
        logged = Counter(scalar[:3] for event in wanted for scalar in event_files.numbers(event))
        different = (shown - logged) + (logged - shown)
        first = min([start.step + 1, *(step for step, *_ in different)])
        self.folder.mkdir(parents=True, exist_ok=True)
        file = event_files.EventFile(self.folder)
        file.add(event_files.purge_event(first))
        for event in wanted:
            if event.step >= first:
                file.add(event)
        file.flush()
        self._file = file

    def log(self, event: Mapping[str, Any]) -> None:
        """Keep the numbers of an event until `flush`."""
        self._begun.add_scalars(event)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Keep a figure, drawn as an image, until `flush`."""
        self._begun.add_figure(name, figure, step)

    def flush(self) -> None:
        """Write what is pending, and wait until it is on the disk.

        Raises:
            OSError: if the disk does not take it; it stays pending.
        """
        if self._file is not None:
            self._file.flush()

    def finish(self) -> None:
        """Flush."""
        self.flush()

    @property
    def _begun(self) -> EventFile:
        if self._file is None:
            raise RuntimeError("`begin` must be called first")
        return self._file
