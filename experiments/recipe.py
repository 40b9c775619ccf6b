"""What every recipe does, from the command line to the report.

A recipe is a ``Recipe`` with its own defaults; ``run`` does the work, ``main`` is the command.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, cast

import jax
import numpy as np
import optax
import tyro
from flax import linen as nn
from jax import Array

from resnet_jax.data import Arrays, Dataset, Transform, load_dataset, split_indices
from resnet_jax.data.augment import Pipeline
from resnet_jax.evaluation import FlipAveraged
from resnet_jax.models import ResNet, create_model
from resnet_jax.run import (
    CheckpointError,
    CheckpointStore,
    FitConfig,
    History,
    Interrupted,
    NonFiniteLossError,
    Reporter,
    Task,
    fit,
    processes,
    run_lock,
    steps_per_epoch,
)
from resnet_jax.run.folder import disk_errors_explained
from resnet_jax.run.identity import check_identity
from resnet_jax.storage import write_json
from resnet_jax.training import (
    Engine,
    ReduceLROnPlateau,
    Schedule,
    TrainState,
    cross_entropy,
    make_optimizer,
)

from .config import ANNEALED, DTYPES, PRESETS, Recipe, check, resolved_dtype
from .evaluate import evaluate

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CONFIG_FILE = "config.json"

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


class Result(NamedTuple):
    """What a recipe returns.

    Attributes:
        history: minibatch losses, training accuracies (%) and validation accuracies (%).
        state: after the last step.
    """

    history: History
    state: TrainState


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
        base_planes=config.base_planes,
        dtype=DTYPES[resolved_dtype(config.dtype)],
        remat=config.remat,
    )


def make_transforms(config: Recipe, dataset: Dataset) -> tuple[Transform, Transform]:
    """The transforms of the training and of the test images."""
    train = Transform(
        source=(dataset.train.images.shape[1], dataset.train.images.shape[2]),
        resize=config.resize,
        crop=config.crop,
        mean=dataset.mean,
        std=dataset.std,
    )
    if not config.is_tutorial:
        return train, train
    channels = len(dataset.mean)
    return train, replace(train, mean=IMAGENET_MEAN[:channels], std=IMAGENET_STD[:channels])


def _subset(arrays: Arrays, indices: np.ndarray) -> Arrays:
    return Arrays(arrays.images[indices], arrays.labels[indices])


def keep_compiled() -> None:
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
    free = _FREE - {"epochs"} if values.get("schedule") in ANNEALED else _FREE
    return {name: value for name, value in values.items() if name not in free}


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


@contextmanager
def _recorded(config: Recipe, *, when: bool) -> Iterator[None]:
    """Writes what a resumed run was configured with, unless it turned out to be another run's."""
    stopped = None
    try:
        yield
    except (Interrupted, NonFiniteLossError) as error:
        stopped = error
    if when:
        write_json(config.run_dir / CONFIG_FILE, asdict(config))
    if stopped is not None:
        raise stopped


def make_task(
    config: Recipe,
    dataset: Dataset,
    *,
    train: Arrays,
    valid: Arrays,
    model: nn.Module,
    tx: optax.GradientTransformation,
    variables: Mapping[str, Any] | None = None,
) -> Task:
    """What to train, on what, as a configuration says.

    Args:
        config: checked already.
        dataset: its classes and statistics.
        train: images to train on.
        valid: images to validate on.
        model: the network.
        tx: the optimizer.
        variables: to start from; None initialises new ones.
    """
    transform, _ = make_transforms(config, dataset)

    def random_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.random(images, keys), labels

    def center_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.center(images), labels

    watch_loss = config.scheduler_on == "minibatch_loss"
    controller = ReduceLROnPlateau(mode="min" if watch_loss and not config.is_tutorial else "max")
    return Task(
        model=model,
        tx=tx,
        controller=controller if config.schedule == "plateau" else None,
        train=train,
        valid=valid,
        prepare=Pipeline(transform, config.augmentations, len(dataset.class_names)),
        prepare_valid=random_crop if config.is_tutorial else center_crop,
        schedule=_make_schedule(config, steps_per_epoch(len(train), config.batch_size)),
        loss_fn=partial(cross_entropy, label_smoothing=config.label_smoothing),
        variables=variables,
    )


def _load_job(config: Recipe) -> tuple[Task, Dataset]:
    """The task of a recipe: a tenth of the training images validates."""
    dataset = load_dataset(config.dataset, archive=config.archive, data_dir=config.data_dir)
    train_indices, valid_indices = split_indices(len(dataset.train), seed=config.seed)
    task = make_task(
        config,
        dataset,
        train=_subset(dataset.train, train_indices),
        valid=_subset(dataset.train, valid_indices),
        model=make_model(config, len(dataset.class_names)),
        tx=make_optimizer(
            config.lr,
            config.momentum,
            weight_decay=config.weight_decay,
            decay_kernels_only=True,
            nesterov=config.nesterov,
        ),
    )
    return task, dataset


def _make_schedule(config: Recipe, steps: int) -> Schedule | None:
    """What multiplies the learning rate, at that many steps an epoch."""
    warmup_steps = round(config.warmup_epochs * steps)
    if config.schedule in ANNEALED:
        shape = cast(Literal["cosine", "onecycle"], config.schedule)
        return Schedule(shape, config.epochs * steps, warmup_steps)
    # After the warm-up nothing depends on the number of epochs.
    return Schedule("constant", warmup_steps + 1, warmup_steps) if warmup_steps else None


def _check_pairs(config: Recipe, task: Task, engine: Engine) -> None:
    """Refuses a batch of which a device cannot mix the examples in pairs.

    Raises:
        ValueError: naming the number that must divide it.
    """
    unit = 2 * engine.num_devices * config.accumulate_steps
    if isinstance(task.prepare, Pipeline) and task.prepare.mixes and config.batch_size % unit:
        raise ValueError(
            f"`batch_size` (={config.batch_size}) must be divisible by {unit}, twice the number "
            "of devices times `accumulate_steps`: `augment` mixes examples in pairs"
        )


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
    return run_job(config, check(config), _load_job, reporter=reporter)


def run_job(
    config: AnyRecipe,
    fit_config: FitConfig,
    load_job: Callable[[AnyRecipe], tuple[Task, Dataset]],
    *,
    begin: Callable[[AnyRecipe, Dataset], None] | None = None,
    reporter: Reporter | None = None,
) -> Result:
    """What ``run`` does, for any job.

    Args:
        config: checked already.
        fit_config: the part of it that configures the loop.
        load_job: reads the data; from the configuration, its ``dtype`` resolved, to what is
            trained and the data set that it is evaluated on.
        begin: writes what else belongs into a new run folder; the first process calls it.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: as ``run`` and ``load_job``, and so are the others.
    """
    reporter = Reporter() if reporter is None else reporter
    _check_run_dir(config)
    config = replace(config, dtype=resolved_dtype(config.dtype))
    processes.wait_for_all("run folder checked")
    if config.compile_cache:
        keep_compiled()
    with ExitStack() as stack:
        if config.resume:
            stack.enter_context(run_lock(config.run_dir))
        task, dataset = load_job(config)
        engine = Engine.create(fit_config.parallel)
        engine.check_batch_size(config.batch_size, config.accumulate_steps)
        _check_pairs(config, task, engine)
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
                write_json(config.run_dir / CONFIG_FILE, asdict(config))
                if begin is not None:
                    begin(config, dataset)
        elif not CheckpointStore(config.run_dir / "checkpoints").steps:
            _check_config_file(config)
        with _recorded(config, when=resume and processes.is_first()):
            result = fit(
                task,
                fit_config,
                run_dir=config.run_dir,
                resume=resume,
                identity=_identity(config, dataset),
                reporter=reporter,
            )
        if processes.is_first():
            _, test_transform = make_transforms(config, dataset)
            evaluate(
                config.run_dir,
                model=FlipAveraged(task.model) if config.flip_test else task.model,
                result=result,
                dataset=dataset,
                transform=test_transform,
                random_seed=config.seed if config.is_tutorial else None,
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


def command(
    defaults: Recipe, description: str | None
) -> tuple[Callable[..., Result], Callable[..., int]]:
    """The two functions of a recipe's module.

    Args:
        defaults: the recipe's own.
        description: heads the help.

    Returns:
        ``train(config=defaults)``, see ``run``, and ``main(argv=None)``, which returns the exit
        code.
    """

    def train(config: Recipe = defaults) -> Result:
        """Trains and evaluates; see ``experiments.recipe.run``."""
        return run(config)

    def run_main(argv: Sequence[str] | None = None) -> int:
        """The command; returns its exit code."""
        return main(defaults, argv, description=description or "")

    return train, run_main


def main(defaults: Recipe, argv: Sequence[str] | None, *, description: str) -> int:
    """The command of a recipe.

    Args:
        defaults: the recipe's own.
        argv: the arguments; None takes the process's.
        description: heads the help.

    Returns:
        The exit code; see ``run_command``.
    """
    return run_command(lambda: parse(defaults, argv, description=description), run)


def run_command(parse: Callable[[], AnyRecipe], run: Callable[[AnyRecipe], Result]) -> int:
    """From a command line to the exit code.

    Args:
        parse: reads the command line.
        run: does the work.

    Returns:
        0; 2 for what the user can mend; 143 or 130 for a run that SIGTERM or SIGINT stopped. All
        but 0 say why in one line on standard error. A process that has lost another one of its
        run ends at once, with 1.
    """
    config = None
    try:
        with _sigterm_raises():
            config = parse()
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
