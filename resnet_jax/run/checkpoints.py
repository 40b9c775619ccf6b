"""Checkpoints of a run: the whole state, kept by Orbax; the last ones and the best one stay.

A checkpoint of step ``s`` is the folder ``checkpoints/s``:

- ``state/``: the train state, as Orbax writes it;
- ``progress.json``: the rest, and the version of the format;
- ``manifest.json``: a digest of every file.

It appears under that name only when it is complete (Orbax writes under another name and renames),
so that a process killed at any moment leaves whole checkpoints.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp

from ..storage import find_damage, first_line, write_manifest
from ..training.state import TrainState

FORMAT_VERSION = 1
"""Of what a checkpoint holds; raised when an older reader could not read it."""

PROGRESS = "progress.json"
"""Name of the file with what is not in the train state."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used or written, and what would do."""


class CheckpointStore:
    """The checkpoints of one run.

    Opening it changes nothing; the folder is made, and what a killed process left half-written is
    removed, before the first checkpoint is read or saved.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path, *, keep: int = 2, read_only: bool = False) -> None:
        """Names the folder.

        Args:
            folder: of the checkpoints.
            keep: how many of the last ones stay, besides the best.
            read_only: neither make nor change anything.
        """
        self.folder = folder
        self._read_only = read_only
        self._policy = _LatestAndBest(keep)
        self._saving: tuple[int, str] | None = None

    @cached_property
    def _manager(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            cleanup_tmp_directories=not self._read_only,
            create=not self._read_only,
            read_only=self._read_only,
            lightweight_initialize=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._complete),
        )
        return ocp.CheckpointManager(self.folder.absolute(), options=options, item_names=("state",))

    def __enter__(self) -> Self:
        logging.getLogger("absl").addFilter(_is_not_from_orbax)
        before = self._unraisable_hook = sys.unraisablehook

        def hook(unraisable: Any) -> None:
            # TensorStore ends the writes of a failed save when nobody waits for them any more.
            if "Event loop is closed" not in str(unraisable.exc_value):
                before(unraisable)

        sys.unraisablehook = hook
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if "_manager" in vars(self):
                with self._explained():
                    self._manager.close()
        except CheckpointError:
            if error is None:
                raise
        finally:
            logging.getLogger("absl").removeFilter(_is_not_from_orbax)
            sys.unraisablehook = self._unraisable_hook

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, whole or not, ascending."""
        if not self.folder.is_dir():
            return []
        names = (path.name for path in self.folder.iterdir() if path.is_dir())
        return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, whole or not; None if there is none."""
        return max(self.steps, default=None)

    def newest_whole(self) -> tuple[int | None, dict[int, str]]:
        """Looks for the newest checkpoint whose files are all as they were written.

        Returns:
            Its step, or None if there is no checkpoint at all; and the newer ones, by their
            steps, with what is wrong with them.

        Raises:
            CheckpointError: if there are checkpoints and none is whole; it says why.
        """
        damages: dict[int, str] = {}
        for step in reversed(self.steps):
            damage = find_damage(self.folder / str(step))
            if damage is None:
                return step, damages
            damages[step] = damage
        if not damages:
            return None, {}
        reasons = "; ".join(f"in {step} {damage}" for step, damage in damages.items())
        raise CheckpointError(
            f"no checkpoint in {self.folder} is whole: {reasons}. Put back a copy of one, or start "
            "a new run in another folder"
        )

    def set_aside(self, step: int) -> Path:
        """Moves a checkpoint out of the way, into ``damaged/`` beside the folder.

        Args:
            step: of the checkpoint.

        Returns:
            Where it is now.
        """
        folder = self.folder.parent / "damaged"
        folder.mkdir(exist_ok=True)
        target, count = folder / str(step), 1
        while target.exists():
            count += 1
            target = folder / f"{step}-{count}"
        return (self.folder / str(step)).rename(target)

    def look_again(self) -> None:
        """Takes notice of what was set aside, by whichever process."""
        self._manager.reload()

    def save(
        self, state: TrainState, progress: Mapping[str, Any], *, best_step: int | None = None
    ) -> None:
        """Saves in the background; the state is copied before this returns.

        Args:
            state: what to save; its step names the checkpoint.
            progress: the rest, as JSON.
            best_step: of the checkpoint that stays, however old.

        Raises:
            CheckpointError: if this save, or the one before, fails.
        """
        self.wait()
        step = int(state.step)
        record = {"format": FORMAT_VERSION, **progress}
        self._saving = step, json.dumps(record, allow_nan=False)
        self._policy.best_step = best_step
        with self._explained():
            items = ocp.args.Composite(state=ocp.args.StandardSave(state))
            if not self._manager.save(step, args=items):
                raise FileExistsError(f"there is one of step {self.latest_step} already")

    def wait(self) -> None:
        """Returns when all saves are on the disk.

        Raises:
            CheckpointError: if one failed.
        """
        with self._explained():
            self._manager.wait_until_finished()

    def read_progress(self, step: int) -> dict[str, Any]:
        """What ``save`` was given as ``progress``.

        Args:
            step: of the checkpoint.

        Raises:
            CheckpointError: if it was written by a newer version of this library, or by another.
        """
        path = self.folder / str(step) / PROGRESS
        try:
            progress = json.loads(path.read_bytes(), parse_constant=_refuse)
            version = progress["format"]
            if not isinstance(version, int):
                raise TypeError(f"`format` (={version!r}) must be a whole number")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path} is not the progress of a run: {error}") from error
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"checkpoint {path.parent} has format {version}, but this version of resnet_jax "
                f"reads formats up to {FORMAT_VERSION}; update resnet_jax"
            )
        return progress

    def read_state(self, step: int, template: TrainState) -> TrainState:
        """The state of a checkpoint.

        Args:
            step: of the checkpoint.
            template: a state of the same structure, or its shapes (``jax.eval_shape``); its
                shardings, where it has any, are those of the result.

        Raises:
            CheckpointError: if it cannot be read as such a state.
        """
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        try:
            return self._manager.restore(step, args=items)["state"]
        except Exception as error:  # Orbax and TensorStore raise many kinds.
            raise CheckpointError(
                f"cannot read the state of checkpoint {self.folder / str(step)}: "
                f"{first_line(error)}"
            ) from error

    def _complete(self) -> None:
        """Adds the other files to a checkpoint, before Orbax gives it its name."""
        assert self._saving is not None
        step, progress = self._saving
        folder = self.folder / f"{step}{ocp.utils.TMP_DIR_SUFFIX}"
        (folder / PROGRESS).write_text(progress, encoding="utf-8")
        write_manifest(folder)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns whatever a failed save raises into one line."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds.
            step = "" if self._saving is None else f" of step {self._saving[0]}"
            raise CheckpointError(
                f"cannot save the checkpoint{step} in {self.folder}: {first_line(error)}. "
                "Checkpoints from before are whole; go on from them where there is room"
            ) from error


class _LatestAndBest:
    """Which checkpoints stay; Orbax asks after every save."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.best_step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """One answer a checkpoint, in their order (ascending steps)."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        return [step in steps[-self._keep :] or step == self.best_step for step in steps]


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    """Of a log record; Orbax logs the tracebacks of what it raises as well."""
    return "orbax" not in record.pathname


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
