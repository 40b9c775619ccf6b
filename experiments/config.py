"""The recipes' one configuration: every option, its default, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import jax
import jax.numpy as jnp
import tyro

from resnet_jax.data import DATASETS, Transform
from resnet_jax.data.augment import AUGMENTATIONS, Augmentation, Pipeline, make_augmentation
from resnet_jax.models import VARIANTS
from resnet_jax.run import FitConfig
from resnet_jax.training import make_optimizer

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
RECIPES = ("default", "tutorial")
STEMS = ("imagenet", "cifar")
SCHEDULES = ("plateau", "constant", "cosine", "onecycle")
ANNEALED = ("cosine", "onecycle")
"""Schedules that end with the last epoch."""

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


def choice(*names: str, suffix: str = "") -> Any:
    """For the annotation of an option: the names that it may have, for its help."""
    return tyro.conf.arg(metavar="{" + ",".join(names) + "}" + suffix)


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how."""

    preset: Annotated[str, choice(*PRESETS)] = "none"
    """Defaults for another purpose: quick trains on digits at 32 px, in minutes on a CPU."""
    variant: Annotated[str, choice(*VARIANTS)] = "resnet34"
    """The network."""
    stem: Annotated[str, choice(*STEMS)] = "imagenet"
    """First layers: 7x7/2 convolution and 3x3/2 max-pool, or one 3x3/1 convolution."""
    base_planes: int = 64
    """Width of the network: planes of its first stage, doubled in each further one."""
    dataset: Annotated[str, choice(*DATASETS)] = "cifar10"
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
    """Initial learning rate; the highest one, where the schedule warms up."""
    momentum: float = 0.9
    """Of SGD."""
    nesterov: bool = False
    """Nesterov's momentum."""
    weight_decay: float = 0.0
    """L2 penalty on the kernels; never on biases and normalisations."""
    label_smoothing: float = 0.0
    """Part of each training label that is spread over all classes."""
    seed: int = 123
    """Of the split, the initialisation, the shuffling, the crops and the augmentations."""
    resize: int = 120
    """Side of the resized image, in pixels."""
    crop: int = 110
    """Side of the crop, in pixels: random in training, in the middle in evaluation."""
    augment: Annotated[tuple[str, ...], choice(*AUGMENTATIONS, suffix="[:NUMBER]")] = ()
    """Of the training images after the crop, in this order, as in: crop:4 flip cutout:8."""
    recipe: Annotated[str, choice(*RECIPES)] = "default"
    """tutorial does all as the reference does, slips included (see the README)."""
    schedule: Annotated[str, choice(*SCHEDULES)] = "plateau"
    """Of the learning rate: reduced on a plateau, constant, or annealed to the last epoch."""
    warmup_epochs: float = 0.0
    """In which the learning rate rises to lr first; of onecycle its rising part."""
    scheduler_on: Annotated[str, choice("valid_acc", "minibatch_loss")] = "valid_acc"
    """What the plateau controller watches: validation accuracy or the last minibatch loss."""
    ema_decay: float = 0.0
    """Evaluate moving averages of parameters and BatchNorm statistics; 0 keeps none."""
    flip_test: bool = False
    """Average the logits of each test image and its mirror image."""
    parallel: Annotated[str, choice("auto", "jit", "pmap")] = "auto"
    """How to use several devices; auto is jit over a mesh of all."""
    dtype: Annotated[str, choice("auto", *DTYPES)] = "float32"
    """To compute in; all that is kept stays float32. auto is bfloat16 on GPU and TPU."""
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

    @property
    def is_tutorial(self) -> bool:
        """Whether all is done as the reference does it, slips included."""
        return self.recipe == "tutorial"

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """Of the training images.

        Raises:
            ValueError: for one that does not exist or takes no such number.
        """
        return tuple(make_augmentation(spec) for spec in self.augment)


def resolved_dtype(name: str) -> str:
    """The type that ``auto`` stands for on this machine; any other name is itself."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def check(config: Recipe) -> FitConfig:
    """Finds what is wrong with a configuration by itself.

    Returns:
        The part of it that configures the loop.

    Raises:
        ValueError: naming the argument, its value and what would do.
    """
    choices: Mapping[str, Sequence[str]] = {
        "variant": tuple(VARIANTS),
        "dataset": DATASETS,
        "stem": STEMS,
        "recipe": RECIPES,
        "schedule": SCHEDULES,
        "dtype": ("auto", *DTYPES),
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(
                f"`{name}` (={getattr(config, name)!r}) must be one of {', '.join(allowed)}"
            )
    if not (config.lr > 0 and math.isfinite(config.lr)):
        raise ValueError(f"`lr` (={config.lr}) must be finite and above 0")
    if not 0.0 <= config.label_smoothing < 1.0:
        raise ValueError(
            f"`label_smoothing` (={config.label_smoothing}) must be at least 0 and below 1"
        )
    _check_schedule(config)
    # Below it a grouped convolution would have no channels.
    least = -(-64 // VARIANTS[config.variant].width_per_group)
    if config.base_planes < least:
        raise ValueError(
            f"`base_planes` (={config.base_planes}) must be at least {least} for {config.variant}"
        )
    # The rest, by way of what it configures.
    make_optimizer(
        config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov
    )
    transform = Transform(
        source=(1, 1), resize=config.resize, crop=config.crop, mean=(0.0,), std=(1.0,)
    )
    Pipeline(transform, config.augmentations, num_classes=2)
    return FitConfig(
        epochs=config.epochs,
        batch_size=config.batch_size,
        eval_batch_size=config.eval_batch_size,
        seed=config.seed,
        scheduler_on=cast(Literal["valid_acc", "minibatch_loss"], config.scheduler_on),
        evaluate_as_trained=config.is_tutorial,
        ema_decay=config.ema_decay,
        accumulate_steps=config.accumulate_steps,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        checkpoint_minutes=config.checkpoint_minutes,
        parallel=cast(Literal["auto", "jit", "pmap"], config.parallel),
    )


def _check_schedule(config: Recipe) -> None:
    if config.schedule != "plateau" and config.scheduler_on != Recipe.scheduler_on:
        raise ValueError(
            f"`scheduler_on` (={config.scheduler_on!r}) is for `schedule` plateau; leave it out "
            f"with {config.schedule}"
        )
    if not 0.0 <= config.warmup_epochs < max(config.epochs, 1):
        raise ValueError(
            f"`warmup_epochs` (={config.warmup_epochs}) must be at least 0 and below `epochs` "
            f"(={config.epochs})"
        )
    if config.schedule == "onecycle" and config.warmup_epochs == 0.0:
        raise ValueError(
            "`warmup_epochs` (=0.0) must be above 0 with `schedule` onecycle; a third of `epochs` "
            f"(={config.epochs}) would do"
        )
