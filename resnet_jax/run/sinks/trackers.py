"""Experiment trackers: services with the `init`, `log` and `finish` of Weights & Biases.

A row of `TRACKERS` is all that a further service of that shape needs, beside an extra of the
package with the same name.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ...storage import install_command
from .base import RunStart, Sink
from .pixels import pixels
from .scalars import scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP = "global_step"
"""Name of the optimizer steps done, in every row: the axis to draw the others over."""


class Service(NamedTuple):
    """What differs between the services.

    Attributes:
        open: begin or resume a run, from the service's module, the project, the folder of the run
            and where the run starts; the result has `log(values, step=...)` and `finish()`.
        stored: positions of the rows that the service has stored of the run so far, from the
            service's module and what `open` returned.
    """

    open: Callable[[Any, str, Path, RunStart], Any]
    stored: Callable[[Any, Any], Container[int]]


def _open_wandb(wandb: Any, project: str, folder: Path, start: RunStart) -> Any:
    run = wandb.init(
        project=project,
        id=start.run_id,
        name=start.name,
        resume="allow",
        config=dict(start.config),
        dir=str(folder),
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    return run


def _stored_by_wandb(wandb: Any, run: Any) -> range:
    # Rows are stored in order, and `step` is the one that comes next.
    return range(run.step)


def _open_trackio(trackio: Any, project: str, folder: Path, start: RunStart) -> Any:
    for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        if variable in os.environ:
            raise ValueError(f"`track` (=trackio) keeps runs on this computer: unset {variable}")
    # What a killed run has left where the folder of trackio is on a network.
    trackio.fragments.import_inbox_dir()
    return trackio.init(
        project,
        # Names are all that trackio tells runs apart by when it resumes them.
        name=f"{start.name}-{start.run_id}",
        resume="allow",
        config=dict(start.config),
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )


def _stored_by_trackio(trackio: Any, run: Any) -> set[int]:
    rows = trackio.SQLiteStorage.get_logs(run.project, run.name, run_id=run.id)
    # Figures have rows of their own there.
    return {row["step"] for row in rows if STEP in row}


TRACKERS: Mapping[str, Service] = MappingProxyType(
    {
        "wandb": Service(_open_wandb, _stored_by_wandb),
        "trackio": Service(_open_trackio, _stored_by_trackio),
    }
)
"""The services, by the name of their package and module."""


class Tracker(Sink):
    """A run in an experiment tracker.

    A row of the service is an event, and its position in the log is what the service calls a step.
    Services only ever append, and store rows some time after they were logged. A run that resumes
    therefore asks which rows are stored: the others are logged once more, and an event that is
    stored already is passed over when it comes again.

    A figure joins the row of the event before it, or the first row; it counts as stored if that
    row is. `flush` does nothing, for services have no such call.

    Attributes:
        name: of the service, a key of `TRACKERS`.
        folder: of the run; the service may keep files there until they are sent.
        project: under which the service lists the run.
    """

    def __init__(
        self, name: str, folder: Path, *, project: str = "resnet-jax", module: Any = None
    ) -> None:
        """Find the service.

        Args:
            name: of the service, a key of `TRACKERS`.
            folder: of the run.
            project: under which the service lists the run.
            module: of the service; None imports it.

        Raises:
            ValueError: if its package is not installed.
        """
        self.name = name
        self.folder = folder
        self.project = project
        self._module = _import(name) if module is None else module
        self._run: Any = None
        self._stored: Container[int] = ()
        self._logged = 0

    def begin(self, start: RunStart) -> None:
        """Begin or resume the run, and log those events of `start` that are not stored."""
        service = TRACKERS[self.name]
        self._run = service.open(self._module, self.project, self.folder, start)
        self._stored = service.stored(self._module, self._run)
        for event in start.events:
            self.log(event)

    def log(self, event: Mapping[str, Any]) -> None:
        """Pass an event to the service, which sends it in its own time."""
        values = scalars(event)
        if values and self._logged not in self._stored:
            self._run.log({STEP: event["step"], **values}, step=self._logged)
        self._logged += 1

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Pass a figure to the service as an image."""
        row = max(self._logged - 1, 0)
        if row not in self._stored:
            self._run.log({name: self._module.Image(pixels(figure))}, step=row)

    def finish(self) -> None:
        """Wait until the service has taken everything, as long as it takes."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"`track` (={name}) needs the package {name}: {install_command(name)}"
        ) from error
