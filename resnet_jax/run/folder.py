"""The run folder: its files, its lock, and who may use it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..storage import (
    FolderInUseError,
    JsonError,
    atomic_path,
    folder_lock,
    printable,
    read_json,
    to_plain,
    write_json,
)
from . import processes
from .disk import lacks_room, reason_of
from .facts import DataFacts
from .files import RunFiles
from .identity import Identity, check_identity

# Systems take 4096 or 1024 bytes; the files of a checkpoint have up to 200 after the folder.
_LONGEST_PATH = (4096 if sys.platform == "linux" else 1024) - 256


class RunFolderError(ValueError):
    """A run folder that cannot be used or written to; the message says what would work."""


class RunFolder(RunFiles):
    """The folder of one run, the only owner of its files.

    Opening it changes nothing. As a context it is checked, and locked at once where a run is
    resumed; `begin` makes a new one. The context may be entered again inside itself.

    Attributes:
        path: the folder.
        resume: go on with the run that it holds, instead of starting a new one.
        config: the flat options of the run, as `begin` was given them.
    """

    def __init__(self, path: Path | str, *, resume: bool = False) -> None:
        """Name the folder.

        Args:
            path: the folder; it need not exist.
            resume: go on with the run that it holds.
        """
        super().__init__(path)
        self.resume = resume
        self._depth, self._begun = 0, False
        self._stack = ExitStack()
        self.config: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """The folder's own name, as text that can be printed."""
        return printable(self.path.resolve().name)

    @property
    def run_id(self) -> str:
        """Eight hexadecimal digits, the same after every resume; made when first asked for."""
        path = self.path / ".run_id"
        if not path.is_file():
            with atomic_path(path) as temporary:
                temporary.write_text(secrets.token_hex(4), encoding="ascii")
        return path.read_text(encoding="ascii").strip()

    def check(self) -> None:
        """Raise unless the folder may be used; nothing is changed.

        Raises:
            RunFolderError: if it is a file, holds no run to resume or one that has lost its
                checkpoints, is not empty for a new one, or has too long a path.
        """
        length = len(os.fsencode(self.path))
        if length > _LONGEST_PATH or any(len(os.fsencode(part)) > 255 for part in self.path.parts):
            raise RunFolderError(
                f"`run_dir` (={self.path}) is too long: it may have {_LONGEST_PATH} bytes in all, "
                "and 255 a name"
            )
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"`run_dir` (={self.path}) is a file; name a folder")
        if self.resume:
            if not self.has_run:
                raise RunFolderError(
                    f"`run_dir` (={self.path}) holds no run to resume; leave out --resume to start "
                    "one"
                )
            self._check_no_loss()
        # Hidden are the lock and what a killed process did not finish writing.
        elif self.path.is_dir() and any(
            not path.name.startswith(".") for path in self.path.iterdir()
        ):
            raise RunFolderError(
                f"`run_dir` (={self.path}) is not empty; go on with it by --resume, or name "
                "another folder by --run-dir"
            )

    def __enter__(self) -> Self:
        if self._depth == 0:
            self.check()
            if self.resume:
                self._lock()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._begun = False
            self._stack.close()

    def check_options(self, options: Identity) -> None:
        """Raise unless a run that is resumed was begun with the same options; nothing is changed.

        It needs no data, and `fit` compares the rest: what the newest checkpoint was saved with.

        Args:
            options: those that must be the same.

        Raises:
            IdentityError: naming the options that differ.
            RunFolderError: if neither `config.json` nor a checkpoint says which run it is.
        """
        if not self.resume:
            return
        try:
            saved = read_json(self.config_path)
        except JsonError as error:
            if self.checkpoints.steps:
                return
            raise RunFolderError(
                f"{error}, so that the run cannot be resumed; start a new one in another folder"
            ) from error
        check_identity(saved, options, self.config_path, partial=True)

    def begin(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        data: DataFacts | None = None,
    ) -> None:
        """Make the folder of a new run; write the options of one that has no checkpoint yet anew.

        Of several processes the first writes. A second call changes nothing.

        Args:
            config: the flat options, which `config.json` keeps.
            data: what is known of data that has no name, which `data.json` keeps.

        Raises:
            ValueError: if JSON cannot hold the options or the data's facts; nothing is made.
            RunFolderError: if another run uses the folder, or it cannot be written to.
        """
        if self._begun:
            return
        if not self._depth:
            raise RuntimeError("enter the run folder as a context before `begin`")
        facts = None if data is None else to_plain(data._asdict(), "data")
        self._begun, self.config = True, to_plain(config or {}, "config", nan=True)
        if self.resume and self.checkpoints.steps:
            return
        with self.disk_errors_explained():
            if not self.resume:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock()
            if processes.is_first():
                if not self.resume:
                    self.check()  # Another run may have come before.
                # The options come first, for a run that is killed right after them can resume.
                self.confirm()
                if facts is not None:
                    write_json(self.data_path, facts)

    def confirm(self) -> None:
        """Write the options of this run, which is known by now to be the folder's own."""
        if self.config:
            with self.disk_errors_explained():
                write_json(self.config_path, self.config)

    def _check_no_loss(self) -> None:
        """Raise if a run has no checkpoint but has come further than a run can without one."""
        if self.checkpoints.steps:
            return
        # A save goes on in the background while the second epoch is trained, but the next one
        # waits for it. Before it begins, the folder is made.
        last = 2 if self.checkpoints.folder.is_dir() else 1
        epoch = self.logged_epoch
        if self.report_path.is_file():
            found = f"the {self.report_path.name} of a run"
        elif epoch > last:
            found = f"the log of a run up to epoch {epoch}"
        else:
            return
        raise RunFolderError(
            f"`run_dir` (={self.path}) holds {found}, but none of its checkpoints; put them back "
            "to go on, name another folder by --run-dir, or remove this one to start anew"
        )

    def _lock(self) -> None:
        """Keep other processes out; of several processes of one run the first holds the lock."""
        if not processes.is_first():
            return
        try:
            with self.disk_errors_explained():
                self._stack.enter_context(folder_lock(self.path))
        except FolderInUseError:
            raise RunFolderError(
                f"`run_dir` (={self.path}) is in use by another run; wait for it to end, or name "
                "another folder"
            ) from None

    @contextmanager
    def disk_errors_explained(self) -> Iterator[None]:
        """Turn errors of the disk in the body into one line.

        Raises:
            RunFolderError: for an `OSError`, such as a full disk.
        """
        try:
            yield
        except OSError as error:
            advice = (
                ". Checkpoints that are there stay whole; go on with them when there is room"
                if lacks_room(error)
                else ""
            )
            raise RunFolderError(
                f"cannot write to `run_dir` (={self.path}): {reason_of(error)}{advice}"
            ) from error

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write the report of the evaluation.

        Args:
            report: JSON values; NaN becomes null.
        """
        with self.disk_errors_explained():
            write_json(self.report_path, report)
