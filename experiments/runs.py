"""Opens the run folder that a recipe has written: its network, weights and class names."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from resnet_jax.data import Transform
from resnet_jax.data.facts import FACTS
from resnet_jax.models import ResNet
from resnet_jax.run import CheckpointError, CheckpointStore
from resnet_jax.run.identity import layout
from resnet_jax.storage import first_line, write_json
from resnet_jax.storage.manifest import find_damage

from .config import Recipe
from .recipe import CONFIG_FILE, make_model

Choice = Literal["best", "last"]
CHOICES = ("best", "last")
DATA_FILE = "data.json"
"""In a run folder, for data that no other run knows: names, channels and sides."""


class RunError(ValueError):
    """A folder that holds no run to use, and what would do."""


class DataFacts(NamedTuple):
    """What must be known of a run's data to use its network.

    Attributes:
        class_names: in label order.
        side: height and width of the images in memory, in pixels.
        mean: subtracted from each channel, as a fraction of the full scale.
        std: that each channel is divided by, likewise.
    """

    class_names: tuple[str, ...]
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def save(self, run_dir: Path) -> None:
        """Writes ``data.json``."""
        write_json(run_dir / DATA_FILE, self._asdict())


@dataclass(frozen=True)
class Run:
    """A trained network and what belongs to it.

    Attributes:
        folder: of the run.
        step: optimizer steps of the checkpoint.
        config: as the run was started with, JSON values.
        model: the network.
        variables: its ``params`` and ``batch_stats``, of the checkpoint; on the default device.
        data: class names, image size and normalisation.
        transform: of images of the run's own size, as its validation used it: ``center``.
    """

    folder: Path
    step: int
    config: Mapping[str, Any]
    model: ResNet
    variables: Mapping[str, Any]
    data: DataFacts
    transform: Transform


def open_run(folder: Path, checkpoint: Choice = "best") -> Run:
    """Reads a run and one of its checkpoints; nothing in the folder is changed.

    Args:
        folder: that a recipe has written; the run may still be going on.
        checkpoint: ``"best"``, of the epoch with the highest validation accuracy so far, or
            ``"last"``, the newest whole one.

    Raises:
        RunError: if there is no such run.
        CheckpointError: if it has no such checkpoint, or none that is whole.
        ValueError: for another ``checkpoint``.
    """
    if checkpoint not in CHOICES:
        raise ValueError(f"`checkpoint` (={checkpoint!r}) must be one of {', '.join(CHOICES)}")
    config = _read_config(folder)
    recipe = _as_recipe(config, folder / CONFIG_FILE)
    data = _data_facts(folder, recipe)
    try:
        model = make_model(recipe, len(data.class_names))
        transform = Transform(
            source=(data.side, data.side),
            resize=recipe.resize,
            crop=recipe.crop,
            mean=data.mean,
            std=data.std,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{folder / CONFIG_FILE} is of no run of this version: {error}") from error
    step, variables = _read_checkpoint(folder, checkpoint, model, len(data.mean))
    return Run(folder, step, config, model, variables, data, transform)


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise RunError(f"`run` (={folder}) {state}; name the --run-dir of a recipe")
    if not (folder / CONFIG_FILE).is_file():
        raise RunError(
            f"`run` (={folder}) is no run folder: it has no {CONFIG_FILE}; name the --run-dir of "
            "a recipe"
        )
    return read_json(folder / CONFIG_FILE)


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run folder.

    Raises:
        RunError: if it is not a JSON object that can be read.
    """
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is not a JSON object")
    return values


def _as_recipe(config: Mapping[str, Any], path: Path) -> Recipe:
    known = {field.name for field in fields(Recipe)}
    for name in ("variant", "dataset", "resize", "crop"):
        if name not in config:
            raise RunError(f"{path} is of no run of this version: it lacks {name!r}")
    return Recipe(**{name: value for name, value in config.items() if name in known})


def _data_facts(folder: Path, recipe: Recipe) -> DataFacts:
    path = folder / DATA_FILE
    if not path.is_file():
        facts = FACTS.get(recipe.dataset)
        if facts is None:
            raise RunError(
                f"{path} is missing; without it the classes of `dataset` (={recipe.dataset!r}) "
                "are not known"
            )
        return DataFacts(facts.class_names, facts.side, facts.mean, facts.std)
    values = read_json(path)
    try:
        return DataFacts(
            class_names=tuple(map(str, values["class_names"])),
            side=int(values["side"]),
            mean=tuple(map(float, values["mean"])),
            std=tuple(map(float, values["std"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} does not describe a run's data: {error!r}") from error


def _read_checkpoint(
    folder: Path, checkpoint: Choice, model: ResNet, channels: int
) -> tuple[int, dict[str, Any]]:
    store = CheckpointStore(folder / "checkpoints", read_only=True)
    last, _ = store.newest_whole()
    if last is None:
        raise CheckpointError(
            f"`run` (={folder}) has no checkpoint yet; the first is saved after an epoch"
        )
    progress = store.read_progress(last)
    step = last if checkpoint == "last" else _best_step(store, progress)
    origin = store.folder / str(step)
    image = jnp.zeros((1, 32, 32, channels))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    wanted = {part: shapes.get(part, {}) for part in ("params", "batch_stats")}
    saved = _saved_layout(progress)
    # Where moving averages are kept, they are what was evaluated.
    averaged = any(name.startswith("ema/") for name in saved)
    if averaged:
        wanted = {"ema": wanted}
    _check_layout(saved, layout(wanted), origin)
    whole = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    args = ocp.args.PyTreeRestore(item=wanted, restore_args=whole, partial_restore=True)
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            restored = checkpointer.restore((origin / "state").absolute(), args=args)
    except Exception as error:  # Orbax and TensorStore raise many kinds.
        raise CheckpointError(f"cannot read checkpoint {origin}: {first_line(error)}") from error
    return step, jax.device_put(restored["ema"] if averaged else restored)


def _best_step(store: CheckpointStore, progress: Mapping[str, Any]) -> int:
    step = progress.get("best_step")
    if not isinstance(step, int) or step < 1:
        raise CheckpointError(
            f"no epoch of {store.folder.parent} has been evaluated yet, so that there is no best "
            "checkpoint; take the last by --checkpoint last"
        )
    origin = store.folder / str(step)
    damage = find_damage(origin) if origin.is_dir() else "it is not there any more"
    if damage is not None:
        raise CheckpointError(
            f"the best checkpoint {origin} cannot be used: {damage}; take the last by "
            "--checkpoint last"
        )
    return step


def _saved_layout(progress: Mapping[str, Any]) -> dict[str, str]:
    """Types and shapes of the leaves that a checkpoint holds, by their paths."""
    identity = progress.get("identity")
    return {
        name: shape
        for name, shape in (identity.items() if isinstance(identity, dict) else ())
        if "/" in name
    }


def _check_layout(saved: Mapping[str, str], wanted: Mapping[str, str], origin: Path) -> None:
    """Raises unless the variables that a checkpoint holds are the model's."""
    parts = {name.partition("/")[0] for name in wanted}
    ours = {name: shape for name, shape in saved.items() if name.partition("/")[0] in parts}
    for name in sorted(ours.keys() | wanted.keys()):
        if ours.get(name) != wanted.get(name):
            raise CheckpointError(
                f"checkpoint {origin} has {ours.get(name, 'nothing')} at {name}, but the network "
                f"of {CONFIG_FILE} has {wanted.get(name, 'nothing')} there"
            )


def exit_code(work: Callable[[], int]) -> int:
    """Runs a command; what its user can mend is said in one line on standard error.

    Args:
        work: returns the exit code where nothing goes wrong.

    Returns:
        That, or 2 after an error, or 130 after SIGINT.
    """
    try:
        return work()
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        return 128 + signal.SIGINT
