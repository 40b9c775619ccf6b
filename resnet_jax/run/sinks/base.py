"""What the loop knows of every place that the numbers and figures of a run go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RunStart:
    """Where a run begins or goes on.

    Attributes:
        name: name of the run, such as that of its folder.
        run_id: short hexadecimal identity, the same after every resume.
        config: options of the run by name, with JSON values.
        step: optimizer steps done; 0 for a new run, else those of the checkpoint.
        events: log of the run up to `step`, in order; empty for a new run.
    """

    name: str
    run_id: str
    config: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    events: Sequence[Mapping[str, Any]] = ()


class Sink:
    """A place for the events and figures of a run; this one ignores them.

    An event has `event` (`"step"`, `"epoch"` or `"test"`) and `step`, the optimizer steps done when
    it happened. A run that is killed and resumed logs what followed its checkpoint once more, with
    the same numbers and in the same order; no sink may show a number twice for that, or lose one.
    """

    def begin(self, start: RunStart) -> None:
        """Bring the store to exactly the events of `start`; called once, before anything else.

        Args:
            start: where the run begins or goes on.
        """

    def log(self, event: Mapping[str, Any]) -> None:
        """Take an event; it may stay in memory until `flush`.

        Args:
            event: with `event`, `step` and its numbers.
        """

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Take a figure; the caller still owns it, and closes it.

        Args:
            name: of the figure, such as `"confusion"`.
            figure: drawn by Matplotlib.
            step: optimizer steps done.
        """

    def flush(self) -> None:
        """Return when everything logged so far is safe; called before a checkpoint is saved."""

    def finish(self) -> None:
        """Flush and let go of files and connections; a second call does nothing."""


class SinkGroup(Sink):
    """Several sinks as one, and a context that finishes them all.

    Attributes:
        sinks: called in this order.
    """

    def __init__(self, sinks: Iterable[Sink] = ()) -> None:
        self.sinks = tuple(sinks)

    def begin(self, start: RunStart) -> None:
        """Begin all."""
        for sink in self.sinks:
            sink.begin(start)

    def log(self, event: Mapping[str, Any]) -> None:
        """Pass an event to all."""
        for sink in self.sinks:
            sink.log(event)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Pass a figure to all."""
        for sink in self.sinks:
            sink.figure(name, figure, step)

    def flush(self) -> None:
        """Flush all."""
        for sink in self.sinks:
            sink.flush()

    def finish(self) -> None:
        """Finish all, even if one of them fails, and then raise the first error."""
        errors = []
        for sink in self.sinks:
            try:
                sink.finish()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self) -> SinkGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.finish()
        except Exception as failure:
            if error is None:
                raise
            # What ended the run matters more than what followed from it.
            error.add_note(f"a sink could not finish: {failure}")
