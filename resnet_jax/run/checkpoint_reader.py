"""Reading the checkpoints of a run: which there are, which are whole, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import jax
import numpy as np

from ..storage import JsonError, find_damage, plain_path, read_json
from .disk import reason_of
from .identity import layout
from .migrations import FORMAT_VERSION, migrate
from .quiet import quiet_orbax

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

CheckpointChoice = Literal["best", "last"]

PROGRESS = "progress.json"
"""Name of the file with what is not in the train state."""

NEEDED = (PROGRESS, "state/_METADATA", "state/manifest.ocdbt")
"""Files without which no checkpoint can be read."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used or written, and what would work."""


class ChosenCheckpoint(NamedTuple):
    """A checkpoint to use.

    Attributes:
        step: its step.
        damages: the newer ones that were passed over, by their steps, with what is wrong with them.
    """

    step: int
    damages: Mapping[int, str]


class CheckpointReader:
    """The checkpoints of a run, which reading leaves as they are.

    Attributes:
        folder: the folder of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder.

        Args:
            folder: the folder of the checkpoints; it need not exist.
        """
        self.folder = folder.absolute()

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
        """Find the newest checkpoint whose files are all as they were written.

        Returns:
            Its step, or None if there is no checkpoint at all; and the newer ones, by their
            steps, with what is wrong with them.

        Raises:
            CheckpointError: if there are checkpoints and none is whole; it says why.
        """
        damages: dict[int, str] = {}
        for step in reversed(self.steps):
            damage = find_damage(self.folder / str(step), needed=NEEDED)
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

    def read_progress(self, step: int) -> dict[str, Any]:
        """Return what `save` was given as `progress`, in the present format.

        Args:
            step: of the checkpoint.

        Raises:
            CheckpointError: if it was written by a newer version of this library, or by another.
        """
        path = self.folder / str(step) / PROGRESS
        try:
            progress = read_json(path)
            version = progress.get("format")
            if not isinstance(version, int) or isinstance(version, bool) or version < 1:
                raise ValueError(f"`format` (={version!r}) must be a whole number of at least 1")
            if version <= FORMAT_VERSION:
                return migrate(progress)
        except JsonError as error:
            raise CheckpointError(str(error)) from error
        except ValueError as error:
            raise CheckpointError(f"{path} is not the progress of a run: {error}") from error
        raise CheckpointError(
            f"checkpoint {path.parent} has format {version}, but this version of resnet_jax "
            f"reads formats up to {FORMAT_VERSION}; update resnet_jax"
        )

    def choose(self, choice: CheckpointChoice) -> ChosenCheckpoint:
        """Return a checkpoint to use.

        Args:
            choice: `"best"`, that of the epoch with the highest validation accuracy so far, or
                `"last"`, the newest whole one.

        Raises:
            CheckpointError: if there is no such checkpoint, it is damaged, or damage hides which
                one it is.
            ValueError: for another `choice`.
        """
        if choice not in get_args(CheckpointChoice):
            allowed = ", ".join(get_args(CheckpointChoice))
            raise ValueError(f"`checkpoint` (={choice!r}) must be one of {allowed}")
        last, damages = self.newest_whole()
        if last is None:
            raise CheckpointError(
                f"`run` (={self.folder.parent}) has no checkpoint yet; the first is saved after an "
                "epoch"
            )
        step = last if choice == "last" else self._best(last, damages)
        return ChosenCheckpoint(step, damages)

    def _best(self, last: int, damages: Mapping[int, str]) -> int:
        """Return the step of the best checkpoint by what the newest one has recorded.

        Args:
            last: step of the newest whole one.
            damages: what is wrong with newer ones, by their steps.

        Raises:
            CheckpointError: if it is not known, or it is damaged.
        """
        newest, run = max(damages, default=last), self.folder.parent
        way_on = "take the last by --checkpoint last"
        if damages:
            way_on = (
                f"take the last whole one, of step {last}, by --checkpoint last, or train again "
                "from there by --resume"
            )
            damage = find_damage(self.folder / str(newest), needed=(PROGRESS,), only=(PROGRESS,))
            if damage is not None:
                raise CheckpointError(
                    f"which checkpoint of {run} is the best is not known, because "
                    f"{self.folder / str(newest)} is damaged: {damage}; {way_on}"
                )
        step = self.read_progress(newest).get("best_step")
        if not isinstance(step, int) or step < 1:
            raise CheckpointError(
                f"no epoch of {run} has been evaluated yet, so that there is no best checkpoint; "
                f"{way_on}"
            )
        if step == last:
            return step
        origin = self.folder / str(step)
        wrong = damages.get(step)
        if wrong is None:
            whole = origin.is_dir()
            wrong = find_damage(origin, needed=NEEDED) if whole else "it is not there any more"
        if wrong is not None:
            raise CheckpointError(f"the best checkpoint {origin} cannot be used: {wrong}; {way_on}")
        return step

    def read_variables(self, step: int, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables that a checkpoint was evaluated with, as host arrays.

        Where moving averages are kept, they are what was evaluated.

        Args:
            step: step of the checkpoint.
            shapes: `params` and `batch_stats` of the model, as `jax.eval_shape` returns them.

        Raises:
            CheckpointError: if the checkpoint is not of this model, or cannot be read.
        """
        origin = self.folder / str(step)
        identity = self.read_progress(step).get("identity")
        saved = identity if isinstance(identity, dict) else {}
        wanted: dict[str, Any] = {part: shapes.get(part, {}) for part in ("params", "batch_stats")}
        averaged = any(name.startswith("ema/") for name in saved)
        if averaged:
            wanted = {"ema": wanted}
        _check_layout(saved, layout(wanted), origin)
        import orbax.checkpoint as ocp  # slow to import

        whole = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
        args = ocp.args.PyTreeRestore(item=wanted, restore_args=whole, partial_restore=True)
        with quiet_orbax() as stay_quiet:
            try:
                with plain_path(origin) as place, _reader() as checkpointer:
                    restored = checkpointer.restore(place / "state", args=args)
            except Exception as error:  # Orbax and TensorStore raise many kinds.
                stay_quiet()
                raise CheckpointError(
                    f"cannot read checkpoint {origin}: {reason_of(error)}"
                ) from error
        return restored["ema"] if averaged else restored


def _reader() -> ocp.Checkpointer:
    """Return what reads a checkpoint in this process, without waiting for the others of a run."""
    import orbax.checkpoint as ocp  # slow to import

    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process,
        active_processes={process},
        barrier_sync_key_prefix=f"process {process}",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _check_layout(saved: Mapping[str, str], wanted: Mapping[str, str], origin: Path) -> None:
    """Raise unless the variables that a checkpoint holds are the model's.

    Args:
        saved: types and shapes of the checkpoint's leaves by their paths, among other names.
        wanted: those of the model.
        origin: the checkpoint, for the message.
    """
    parts = {name.partition("/")[0] for name in wanted}
    ours = {name for name in saved if "/" in name and name.partition("/")[0] in parts}
    for name in sorted(ours | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise CheckpointError(
                f"checkpoint {origin} has {saved.get(name, 'nothing')} at {name}, but the network "
                f"of config.json has {wanted.get(name, 'nothing')} there"
            )
