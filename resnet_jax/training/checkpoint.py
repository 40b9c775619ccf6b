"""Checkpoints of a run: the whole state, kept by Orbax; the last ones and the best one stay.

A checkpoint of step ``s`` is the folder ``checkpoints/s``. It appears under that name only when
it is complete (Orbax writes under another name and renames).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from .state import TrainState

FORMAT_VERSION = 1
"""Of what a checkpoint holds; raised when an older reader could not read it."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and what would do."""


class CheckpointStore:
    """The checkpoints of one run.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path, *, keep: int = 2, read_only: bool = False) -> None:
        """Opens the folder, and makes it where it is missing.

        Args:
            folder: of the checkpoints.
            keep: how many of the last ones stay, besides the best.
            read_only: neither make nor change anything.
        """
        self.folder = folder
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep),
                preservation_policy.BestN(
                    get_metric_fn=lambda metrics: metrics["valid_accuracy"],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_names=("state", "progress")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        progress: Mapping[str, Any],
        *,
        valid_accuracy: float | None = None,
    ) -> None:
        """Saves in the background; the state is copied before this returns.

        Args:
            state: what to save; its step names the checkpoint.
            progress: the rest, as JSON.
            valid_accuracy: by which the best checkpoint is chosen; None makes it no candidate.
        """
        metrics = None if valid_accuracy is None else {"valid_accuracy": valid_accuracy}
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave({"format": FORMAT_VERSION, **progress}),
            ),
            metrics=metrics,
        )

    def wait(self) -> None:
        """Returns when all saves are on the disk."""
        self._manager.wait_until_finished()

    def read_progress(self, step: int) -> dict[str, Any]:
        """What ``save`` was given as ``progress``.

        Args:
            step: of the checkpoint.

        Raises:
            CheckpointError: if it was written by a newer version of this library.
        """
        items = ocp.args.Composite(progress=ocp.args.JsonRestore())
        progress = self._manager.restore(step, args=items)["progress"]
        if progress["format"] > FORMAT_VERSION:
            raise CheckpointError(
                f"checkpoint {self.folder / str(step)} has format {progress['format']}, but this "
                f"version of resnet_jax reads formats up to {FORMAT_VERSION}; update resnet_jax"
            )
        return progress

    def read_state(self, step: int, template: TrainState) -> TrainState:
        """The state of a checkpoint.

        Args:
            step: of the checkpoint.
            template: a state of the same structure, or its shapes (``jax.eval_shape``); its
                shardings, where it has any, are those of the result.
        """
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        return self._manager.restore(step, args=items)["state"]
