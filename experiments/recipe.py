"""The recipes' one configuration, from the command line to the report.

Each recipe is a ``Recipe`` with its own defaults; ``run`` does the work, ``main`` is the command.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

from resnet_jax.data import DATASETS, Arrays, Dataset, Transform, load_dataset, split_indices
from resnet_jax.evaluation import write_report
from resnet_jax.models import VARIANTS, ResNet, create_model
from resnet_jax.training import (
    Engine,
    FitConfig,
    History,
    NonFiniteLossError,
    ReduceLROnPlateau,
    Reporter,
    Task,
    TrainState,
    fit,
    make_optimizer,
    steps_per_epoch,
)

from .evaluate import evaluate

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
RECIPES = ("default", "tutorial")
STEMS = ("imagenet", "cifar")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "quick": {
        "dataset": "digits",
        "resize": 32,
        "crop": 32,
        "epochs": 8,
        "batch_size": 64,
        "lr": 0.05,
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
    log_every: int = 100
    """Steps between two printed losses."""
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
        log_every=config.log_every,
        parallel=cast(Literal["auto", "jit", "pmap"], config.parallel),
    )


def _check_run_dir(config: Recipe) -> None:
    """Refuses a folder with a run in it, or to resume without one.

    Raises:
        ValueError: naming the folder and what would do.
    """
    folder = config.run_dir
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`run_dir` (={folder}) is a file; name a folder")
    if config.resume:
        if not (folder / "checkpoints").is_dir():
            raise ValueError(
                f"`run_dir` (={folder}) holds no run to resume; leave out --resume to start one"
            )
    elif folder.is_dir() and any(folder.iterdir()):
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
        "log_every",
        "compile_cache",
    )
)


def _identity(config: Recipe, dataset: Dataset) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(config).items() if name not in _FREE}
    return {**fields, "num_classes": len(dataset.class_names), "data": dataset.fingerprint}


def run(config: Recipe, *, reporter: Reporter | None = None) -> Result:
    """Trains, evaluates, and writes the run folder.

    Args:
        config: the recipe.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: before anything is written, for a configuration that cannot work; as
            ``DatasetError`` where the data set cannot be had, as ``CheckpointError`` where the
            run cannot be resumed.
        NonFiniteLossError: if the loss becomes NaN or infinite.
    """
    reporter = Reporter() if reporter is None else reporter
    fit_config = _check(config)
    _check_run_dir(config)
    if config.compile_cache:
        _keep_compiled()
    dataset = load_dataset(config.dataset, archive=config.archive, data_dir=config.data_dir)
    train_indices, valid_indices = split_indices(len(dataset.train), seed=config.seed)
    steps_per_epoch(len(train_indices), config.batch_size)
    Engine.create(fit_config.parallel).check_batch_size(config.batch_size)
    model = make_model(config, len(dataset.class_names))
    transform, test_transform = _transforms(config, dataset)

    def random_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.random(images, keys), labels

    def center_crop(images: Array, labels: Array, keys: Array) -> tuple[Array, Array]:
        return transform.center(images), labels

    tutorial = config.recipe == "tutorial"
    watch_loss = config.scheduler_on == "minibatch_loss"
    task = Task(
        model=model,
        tx=make_optimizer(config.lr, config.momentum),
        controller=ReduceLROnPlateau(mode="min" if watch_loss and not tutorial else "max"),
        train=_subset(dataset.train, train_indices),
        valid=_subset(dataset.train, valid_indices),
        prepare=random_crop,
        prepare_valid=random_crop if tutorial else center_crop,
    )
    if not config.resume:
        config.run_dir.mkdir(parents=True, exist_ok=True)
        write_report(config.run_dir / "config.json", asdict(config))
    result = fit(
        task,
        fit_config,
        run_dir=config.run_dir,
        resume=config.resume,
        identity=_identity(config, dataset),
        reporter=reporter,
    )
    evaluate(
        config.run_dir,
        model=model,
        result=result,
        dataset=dataset,
        transform=test_transform,
        random_seed=config.seed if tutorial else None,
        batch_size=config.eval_batch_size,
        config=asdict(config),
        reporter=reporter,
    )
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
        The exit code: 0, or 2 for what the user can mend, said in one line on standard error.
    """
    try:
        run(parse(defaults, argv, description=description))
    except (ValueError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
