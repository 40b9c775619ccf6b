"""The files of a run folder: where they are, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..storage import JsonError, expand_user, is_locked, read_json
from .facts import DataFacts
from .sinks import read_log

if TYPE_CHECKING:
    from .checkpoints import CheckpointStore


class RunError(ValueError):
    """A folder that holds no run to read; the message says what would work."""


class RunFiles:
    """The files of one run; reading them changes nothing.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        """Name the folder.

        Args:
            path: the folder; it need not exist.

        Raises:
            ValueError: if it is in the home folder of an unknown user.
        """
        self.path = expand_user(path).absolute()

    @property
    def config_path(self) -> Path:
        """The options of the run, as flat JSON."""
        return self.path / "config.json"

    @property
    def data_path(self) -> Path:
        """What is known of data that has no name."""
        return self.path / "data.json"

    @property
    def log_path(self) -> Path:
        """The log, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def report_path(self) -> Path:
        """The report of the evaluation, as JSON."""
        return self.path / "report.json"

    @property
    def page_path(self) -> Path:
        """The report of the evaluation, as a page."""
        return self.path / "report.html"

    def figure_path(self, name: str) -> Path:
        """Return the path of a figure, without a suffix."""
        return self.path / "figures" / name

    def export_path(self, suffix: str) -> Path:
        """Return the path of an exported network.

        Args:
            suffix: name of the format, without a dot.
        """
        return self.path / f"model.{suffix}"

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """The checkpoints."""
        from .checkpoints import CheckpointStore  # imports Orbax, which takes a second

        return CheckpointStore(self.path / "checkpoints")

    @property
    def has_run(self) -> bool:
        """Whether a run has begun here."""
        # `fit` alone writes no `config.json`, and no checkpoint before the first save.
        begun = self.config_path.is_file() or self.log_path.is_file()
        return begun or self.checkpoints.folder.is_dir()

    @property
    def is_in_use(self) -> bool:
        """Whether a process trains or evaluates here at the moment."""
        return is_locked(self.path)

    def read_config(self) -> dict[str, Any]:
        """Read the options of the run.

        Raises:
            RunError: if the folder holds no run.
        """
        if not self.path.is_dir():
            state = "is a file" if self.path.exists() else "does not exist"
            raise RunError(f"`run` (={self.path}) {state}; name the --run-dir of a recipe")
        if not self.config_path.is_file():
            raise RunError(
                f"`run` (={self.path}) is no run folder: it has no {self.config_path.name}; name "
                "the --run-dir of a recipe"
            )
        return self._read(self.config_path)

    def read_data(self) -> DataFacts | None:
        """Read what is known of data that has no name; None for data that has one.

        Raises:
            RunError: if the file is damaged.
        """
        if not self.data_path.is_file():
            return None
        try:
            return DataFacts.from_json(self._read(self.data_path))
        except RunError:
            raise
        except ValueError as error:
            raise RunError(f"{self.data_path} does not describe a run's data: {error}") from error

    def read_report(self) -> dict[str, Any] | None:
        """Read the report; None for a run that was not evaluated.

        Raises:
            RunError: if the file is damaged.
        """
        return self._read(self.report_path) if self.report_path.is_file() else None

    def read_log(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the log, in order.

        Raises:
            RunError: if it is missing or damaged.
        """
        try:
            yield from read_log(self.log_path)
        except (OSError, ValueError) as error:
            raise RunError(f"{self.log_path} cannot be read: {error}") from error

    @property
    def logged_epoch(self) -> int:
        """The last epoch that the log has an event of, from 1, as far as it can be read; or 0."""
        epoch = 0
        with suppress(RunError):
            for event in self.read_log():
                found = event.get("epoch")
                epoch = max(epoch, found) if isinstance(found, int) else epoch
        return epoch

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return read_json(path)
        except JsonError as error:
            raise RunError(str(error)) from error
