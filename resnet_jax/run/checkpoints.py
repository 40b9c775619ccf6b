"""Checkpoints of a run: the whole state, kept by Orbax; the last ones and the best one stay.

A checkpoint of step `s` is the folder `checkpoints/s`:

- `state/`: the train state, as Orbax writes it;
- `progress.json`: the rest, and the version of the format;
- `manifest.json`: a digest of every file.

It appears under that name only when it is complete (Orbax writes under another name and renames),
so that a process killed at any moment leaves whole checkpoints.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp

from ..storage import dumps, first_line, plain_path, write_manifest
from ..training import TrainState
from . import processes
from .checkpoint_reader import NEEDED, PROGRESS, CheckpointError, CheckpointReader
from .disk import lacks_room, reason_of
from .migrations import FORMAT_VERSION
from .quiet import quiet_orbax

# When a save begins, Orbax numbers its parts by one counter of the whole process.
_one_save_begins = threading.Lock()


class CheckpointStore(CheckpointReader):
    """The checkpoints of one run.

    Opening it changes nothing; the folder is made, and what a killed process left half-written is
    removed, before the first checkpoint is read or saved.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Name the folder.

        Args:
            folder: the folder of the checkpoints.
            keep: how many of the last ones stay, besides the best.
        """
        super().__init__(folder)
        self._policy = _LatestAndBest(keep)
        self._saving: tuple[int, str] | None = None
        self._stack = ExitStack()

    @cached_property
    def _manager(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            lightweight_initialize=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._complete),
        )
        if not self.folder.exists():
            # Orbax would not make the target of a link.
            self.folder.mkdir(parents=True, exist_ok=True)
        if processes.is_first():
            # Orbax would do it in a thread, which it does not wait for when it is closed.
            for path in self.folder.iterdir():
                if ocp.utils.TMP_DIR_SUFFIX in path.name:
                    shutil.rmtree(path)
        return ocp.CheckpointManager(self._place, options=options, item_names=("state",))

    def __enter__(self) -> Self:
        try:
            self._place = self._stack.enter_context(plain_path(self.folder))
        except OSError as error:
            raise CheckpointError(f"cannot use {self.folder}: {first_line(error)}") from error
        self._stay_quiet = self._stack.enter_context(quiet_orbax())
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
            vars(self).pop("_manager", None)
            self._stack.close()

    def set_aside(self, step: int) -> Path:
        """Move a checkpoint out of the way, into `damaged/` beside the folder.

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

    def reload(self) -> None:
        """Read again which checkpoints there are, after some were set aside by any process."""
        self._manager.reload()

    def save(
        self, state: TrainState, progress: Mapping[str, Any], *, best_step: int | None = None
    ) -> None:
        """Save in the background; the state is copied before this returns.

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
        self._saving = step, dumps(record)
        self._policy.best_step = best_step
        with self._explained(), _one_save_begins:
            items = ocp.args.Composite(state=ocp.args.StandardSave(state))
            if not self._manager.save(step, args=items):
                raise FileExistsError(f"there is one of step {self.latest_step} already")

    def wait(self) -> None:
        """Return when all saves are on the disk.

        Raises:
            CheckpointError: if one failed.
        """
        if "_manager" in vars(self):
            with self._explained():
                self._manager.wait_until_finished()

    def read_state(self, step: int, template: TrainState) -> TrainState:
        """Return the state of a checkpoint.

        Args:
            step: of the checkpoint.
            template: a state of the same structure, or its shapes (`jax.eval_shape`); its
                shardings, where it has any, are those of the result.

        Raises:
            CheckpointError: if it cannot be read as such a state.
        """
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        try:
            return self._manager.restore(step, args=items)["state"]
        except Exception as error:  # Orbax and TensorStore raise many kinds.
            self._stay_quiet()
            raise CheckpointError(
                f"cannot read the state of checkpoint {self.folder / str(step)}: {reason_of(error)}"
            ) from error

    def _complete(self) -> None:
        """Add the other files to a checkpoint, before Orbax gives it its name."""
        assert self._saving is not None
        step, progress = self._saving
        folder = self.folder / f"{step}{ocp.utils.TMP_DIR_SUFFIX}"
        (folder / PROGRESS).write_text(progress, encoding="utf-8")
        write_manifest(folder, needed=NEEDED)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever a failed save raises into one line."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds.
            self._stay_quiet()
            step = "" if self._saving is None else f" of step {self._saving[0]}"
            advice = "; go on from them where there is room" if lacks_room(error) else ""
            raise CheckpointError(
                f"cannot save the checkpoint{step} in {self.folder}: {reason_of(error)}. "
                f"Checkpoints from before are whole{advice}"
            ) from error


class _LatestAndBest:
    """Which checkpoints stay; Orbax asks after every save."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.best_step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return one answer a checkpoint, in their order (ascending steps)."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        return [step in steps[-self._keep :] or step == self.best_step for step in steps]
