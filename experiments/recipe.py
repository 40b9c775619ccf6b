"""The recipes' one configuration, from the command line to the report.

Each recipe is a ``Recipe`` with its own defaults; ``run`` does the work, ``main`` is the command.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from resnet_jax.data import DATASETS, Arrays, Dataset, Transform, load_dataset, split_indices
from resnet_jax.evaluation import write_report
from resnet_jax.models import VARIANTS, ResNet, create_model
from resnet_jax.training import (
    CheckpointError,
    CheckpointStore,
    Engine,
    FitConfig,
    History,
    Interrupted,
    NonFiniteLossError,
    ReduceLROnPlateau,
    Reporter,
    Task,
    TrainState,
    fit,
    make_optimizer,
    processes,
    run_lock,
    steps_per_epoch,
)
from resnet_jax.training.identity import check_identity
from resnet_jax.training.run_folder import disk_errors_explained

from .evaluate import evaluate

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
RECIPES = ("default", "tutorial")
STEMS = ("imagenet", "cifar")
CONFIG_FILE = "config.json"


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "quick": {
        "dataset": "digits",
        "resize": 32,
        "crop": 32,
        "epochs": 10,
        "batch_size": 64,
        "lr": 0.01,
        "log_every": 10,
    },
}
"""Values that a preset puts in place of a recipe's defaults; the command line overrides both."""


def _choice(*names: str) -> Any:
    return tyro.conf.arg(metavar="{" + ",".join(names) + "}")


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how."""

    preset: Annotated[str, _choice(*PRESETS)] = "none"
    """Defaults for another purpose: quick trains on digits at 32 px, in minutes on a CPU."""
    variant: Annotated[str, _choice(*VARIANTS)] = "resnet34"
    """The network."""
    stem: Annotated[str, _choice(*STEMS)] = "imagenet"
    """First layers: 7x7/2 convolution and 3x3/2 max-pool, or one 3x3/1 convolution."""
    dataset: Annotated[str, _choice(*DATASETS)] = "cifar10"
    """The images; digits is embedded and needs no download."""
    archive: Path | None = None
    """Your own cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or a folder of idx.gz files."""
    data_dir: Path | None = None
    """Where prepared data sets are kept; None is in your cache directory."""
    run_dir: Path = Path("runs/resnet")
    """Gets log, checkpoints, figures and report; must be new or empty, unless resumed."""
    resume: bool = False
    """Go on from the newest checkpoint in run_dir."""
    epochs: int = 50
    """Passes over the training images."""
    batch_size: int = 256
    """Images a step, over all devices."""
    eval_batch_size: int = 256
    """Images an evaluation step; changes speed and memory only."""
    lr: float = 0.1
    """Initial learning rate."""
    momentum: float = 0.9
    """Of SGD."""
    seed: int = 123
    """Of the split, the initialisation, the shuffling and the crops."""
    resize: int = 120
    """Side of the resized image, in pixels."""
    crop: int = 110
    """Side of the crop, in pixels: random in training, in the middle in evaluation."""
    recipe: Annotated[str, _choice(*RECIPES)] = "default"
    """tutorial does all as the reference does, slips included (see the README)."""
    scheduler_on: Annotated[str, _choice("valid_acc", "minibatch_loss")] = "valid_acc"
    """What the plateau controller watches: validation accuracy or the last minibatch loss."""
    parallel: Annotated[str, _choice("auto", "jit", "pmap")] = "auto"
    """How to use several devices; auto is jit over a mesh of all."""
    dtype: Annotated[str, _choice(*DTYPES)] = "float32"
    """To compute in; parameters, statistics and the loss stay float32."""
    remat: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory."""
    accumulate_steps: int = 1
    """Micro-batches a step, one after the other: less memory, BatchNorm of each by itself."""
    coordinator: str | None = None
    """host:port of the first of several processes; where it is not given, a cluster's own."""
    num_processes: int | None = None
    """Of the run; with coordinator."""
    process_id: int | None = None
    """Of this process, from 0; with coordinator."""
    log_every: int = 100
    """Steps between two printed losses."""
    checkpoint_every: int = 0
    """Steps between two checkpoints inside an epoch; 0 saves after each epoch only."""
    checkpoint_minutes: float = 0.0
    """Minutes between two checkpoints inside an epoch; 0 saves after each epoch only."""
    compile_cache: bool = True
    """Keep compiled programs on the disk, so that the next start is faster."""


class Result(NamedTuple):
    """What a recipe returns.

    Attributes:
        history: minibatch losses, training accuracies (%) and validation accuracies (%).
        state: after the last step.
    """

    history: History
    state: TrainState


def _check(config: Recipe) -> FitConfig:
    """Finds what is wrong with a configuration by itself.

    Raises:
        ValueError: naming the argument, its value and what would do.
    """
    choices: Mapping[str, Sequence[str]] = {
        "variant": tuple(VARIANTS),
        "dataset": DATASETS,
        "stem": STEMS,
        "recipe": RECIPES,
        "dtype": tuple(DTYPES),
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(
                f"`{name}` (={getattr(config, name)!r}) must be one of {', '.join(allowed)}"
            )
    if not (config.lr > 0 and math.isfinite(config.lr)):
        raise ValueError(f"`lr` (={config.lr}) must be finite and above 0")
    # The rest, by way of what it configures.
    make_optimizer(config.lr, config.momentum)
    Transform(source=(1, 1), resize=config.resize, crop=config.crop, mean=(0.0,), std=(1.0,))
    return FitConfig(
        epochs=config.epochs,
        batch_size=config.batch_size,
        eval_batch_size=config.eval_batch_size,
        seed=config.seed,
        scheduler_on=cast(Literal["valid_acc", "minibatch_loss"], config.scheduler_on),
        evaluate_as_trained=config.recipe == "tutorial",
        accumulate_steps=config.accumulate_steps,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        checkpoint_minutes=config.checkpoint_minutes,
        parallel=cast(Literal["auto", "jit", "pmap"], config.parallel),
    )


def _has_begun(folder: Path) -> bool:
    """Whether ``fit`` has begun in a run folder."""
    return (folder / "checkpoints").is_dir()


def _check_run_dir(config: Recipe) -> None:
    """Refuses a folder with a run in it, or to resume without one.

    Raises:
        ValueError: naming the folder and what would do.
    """
    folder = config.run_dir
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`run_dir` (={folder}) is a file; name a folder")
    if config.resume:
        if not (_has_begun(folder) or (folder / CONFIG_FILE).is_file()):
            raise ValueError(
                f"`run_dir` (={folder}) holds no run to resume; leave out --resume to start one"
            )
    # Hidden are the lock and what a killed process did not finish writing.
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(
            f"`run_dir` (={folder}) is not empty; go on with it by --resume, or name another "
            "folder by --run-dir"
        )


def make_model(config: Recipe, num_classes: int) -> ResNet:
    """The network of a configuration."""
    return create_model(
        config.variant,
        num_classes,
        stem=cast(Literal["imagenet", "cifar"], config.stem),
        dtype=DTYPES[config.dtype],
        remat=config.remat,
    )


def _transforms(config: Recipe, dataset: Dataset) -> tuple[Transform, Transform]:
    """The transforms of the training and of the test images."""
    train = Transform(
        source=(dataset.train.images.shape[1], dataset.train.images.shape[2]),
        resize=config.resize,
        crop=config.crop,
        mean=dataset.mean,
        std=dataset.std,
    )
    if config.recipe == "default":
        return train, train
    channels = len(dataset.mean)
    return train, replace(train, mean=IMAGENET_MEAN[:channels], std=IMAGENET_STD[:channels])


def _subset(arrays: Arrays, indices: np.ndarray) -> Arrays:
    return Arrays(arrays.images[indices], arrays.labels[indices])


def _keep_compiled() -> None:
    """Keeps compiled programs in the user's cache directory, unless a place is set already."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(root) / "resnet_jax" / "xla"))


# What may change when a run is resumed.
_FREE = frozenset(
    (
        "preset",
        "archive",
        "data_dir",
        "run_dir",
        "resume",
        "epochs",
        "eval_batch_size",
        "parallel",
        "coordinator",
        "num_processes",
        "process_id",
        "log_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "compile_cache",
    )
)


def _fixed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _FREE}


def _identity(config: Recipe, dataset: Dataset) -> dict[str, Any]:
    return {
        **_fixed(asdict(config)),
        "num_classes": len(dataset.class_names),
        "data": dataset.fingerprint,
    }


def _check_config_file(config: Recipe) -> None:
    """Refuses to go on with another recipe than a run was started with.

    Raises:
        CheckpointError: naming what differs.
    """
    path = config.run_dir / CONFIG_FILE
    try:
        saved = _fixed(json.loads(path.read_bytes()))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not the configuration of a run: {error}") from error
    check_identity(saved, _fixed(asdict(config)), path)


def _make_task(config: Recipe, dataset: Dataset) -> tuple[Task, Transform]:
    """What to train, and the transform of the test images."""
    train_indices, valid_indices = split_indices(len(dataset.train), seed=config.seed)
    transform, test_transform = _transforms(config, dataset)

    def random_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.random(images, keys), labels

    def center_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.center(images), labels

    tutorial = config.recipe == "tutorial"
    watch_loss = config.scheduler_on == "minibatch_loss"
    task = Task(
        model=make_model(config, len(dataset.class_names)),
        tx=make_optimizer(config.lr, config.momentum),
        controller=ReduceLROnPlateau(mode="min" if watch_loss and not tutorial else "max"),
        train=_subset(dataset.train, train_indices),
        valid=_subset(dataset.train, valid_indices),
        prepare=random_crop,
        prepare_valid=random_crop if tutorial else center_crop,
    )
    return task, test_transform


def run(config: Recipe, *, reporter: Reporter | None = None) -> Result:
    """Trains, evaluates, and writes the run folder.

    Args:
        config: the recipe.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: before anything is written, for a configuration that cannot work; as
            ``DatasetError`` where the data set cannot be had, as ``CheckpointError`` where the
            run cannot be resumed or saved, as ``RunFolderError`` where its folder is in use or
            cannot be written to.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        Interrupted: if a signal asked to stop the training.
    """
    reporter = Reporter() if reporter is None else reporter
    fit_config = _check(config)
    _check_run_dir(config)
    processes.wait_for_all("run folder checked")
    if config.compile_cache:
        _keep_compiled()
    with ExitStack() as stack:
        if config.resume:
            stack.enter_context(run_lock(config.run_dir))
        dataset = load_dataset(config.dataset, archive=config.archive, data_dir=config.data_dir)
        task, test_transform = _make_task(config, dataset)
        steps_per_epoch(len(task.train), config.batch_size)
        Engine.create(fit_config.parallel).check_batch_size(
            config.batch_size, config.accumulate_steps
        )
        resume = config.resume and _has_begun(config.run_dir)
        stack.enter_context(disk_errors_explained(config.run_dir))
        if not resume:
            config.run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(run_lock(config.run_dir))
            if config.resume:
                _check_config_file(config)
            if processes.is_first():
                # Another run may have come before.
                _check_run_dir(config)
                write_report(config.run_dir / CONFIG_FILE, asdict(config))
        elif not CheckpointStore(config.run_dir / "checkpoints").steps:
            _check_config_file(config)
        result = fit(
            task,
            fit_config,
            run_dir=config.run_dir,
            resume=resume,
            identity=_identity(config, dataset),
            reporter=reporter,
        )
        if processes.is_first():
            evaluate(
                config.run_dir,
                model=task.model,
                result=result,
                dataset=dataset,
                transform=test_transform,
                random_seed=config.seed if config.recipe == "tutorial" else None,
                batch_size=config.eval_batch_size,
                config=asdict(config),
                reporter=reporter,
            )
        processes.wait_for_all("evaluated")
    return Result(result.history, result.state)


@dataclass(frozen=True)
class _PresetOption:
    preset: str = Recipe.preset


def parse(defaults: Recipe, argv: Sequence[str] | None, *, description: str) -> Recipe:
    """Reads a command line.

    Args:
        defaults: the recipe's own.
        argv: the arguments; None takes the process's.
        description: heads the help.

    Raises:
        SystemExit: with code 0 after ``--help``, with code 2 for arguments that cannot be read.
        ValueError: for an unknown preset.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    option, _ = tyro.cli(_PresetOption, args=arguments, return_unknown_args=True, add_help=False)
    if option.preset not in PRESETS:
        raise ValueError(f"`preset` (={option.preset!r}) must be one of {', '.join(PRESETS)}")
    values = PRESETS[option.preset]
    if values:
        values = {**values, "run_dir": defaults.run_dir.with_name(f"{defaults.run_dir.name}_quick")}
    return tyro.cli(
        Recipe, args=arguments, default=replace(defaults, **values), description=description
    )


def main(defaults: Recipe, argv: Sequence[str] | None, *, description: str) -> int:
    """The command of a recipe.

    Args:
        defaults: the recipe's own.
        argv: the arguments; None takes the process's.
        description: heads the help.

    Returns:
        The exit code: 0; 2 for what the user can mend; 143 or 130 for a run that SIGTERM or
        SIGINT stopped. All but 0 say why in one line on standard error. A process that has lost
        another one of its run ends at once, with 1.
    """
    config = None
    try:
        with _sigterm_raises():
            config = parse(defaults, argv, description=description)
            processes.initialize(config.coordinator, config.num_processes, config.process_id)
            with processes.losses_explained():
                run(config)
    except processes.ProcessError as error:
        processes.end_at_once(f"error: {error}")
    except (ValueError, OSError, NonFiniteLossError) as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        resumable = config is not None and (config.run_dir / CONFIG_FILE).is_file()
        print(
            f"{str(stop) or 'stopped by SIGINT'}"
            f"{'; go on with the same command and --resume' * resumable}",
            file=sys.stderr,
        )
        return stop.exit_code if isinstance(stop, Interrupted) else 128 + signal.SIGINT
    return 0


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Lets SIGTERM interrupt as SIGINT does, where there is no step to finish."""

    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(signum, "stopped by SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
