"""Fine-tunes weights of torch, torchvision, timm or a run on a folder of your own images.

    python -m experiments.finetune --weights resnet34.safetensors --data-dir photos

The folder holds photos/<class>/*.jpg, or photos/train/<class>/, with photos/valid/ and photos/test/
where you have divided it yourself; what is not there is split off, a tenth of each class. The
head is new, for your classes; the rest starts at the weights. The learning rate is the head's:
the backbone learns at --backbone-rate times it, each stage further from the head at
--layer-decay times the one after it, and what --freeze names does not learn at all.

What is frozen is frozen as a whole: its BatchNorms keep the running statistics of the weights and
normalise with them in training, too.

All else, the run folder, resuming and signals among it, is as with the other recipes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from resnet_jax.data import Dataset, load_image_folder
from resnet_jax.data.facts import FACTS
from resnet_jax.models import WeightsError, load_weights
from resnet_jax.models.freezing import STAGES, rest_batch_norm, stage_of, stages_up_to
from resnet_jax.run import Reporter, Task
from resnet_jax.training.stagewise import make_stagewise_optimizer

from . import recipe
from .config import Recipe, check, choice
from .recipe import IMAGENET_MEAN, IMAGENET_STD, Result
from .runs import DataFacts

FREEZE = ("none", *STAGES[:-2], "backbone")
NORMALISE = ("auto", "imagenet", "data", *FACTS)


@dataclass(frozen=True, kw_only=True)
class FineTune(Recipe):
    """What to fine-tune, on what, and how."""

    weights: str
    """A .safetensors, .pth or .pt file with torchvision's names, of --variant and --stem."""
    data_dir: Path = field()  # required, where the recipes have a default
    """The image folder."""
    freeze: Annotated[str, choice(*FREEZE)] = "none"
    """Up to and with which stage the network does not learn; of the backbone all but the head."""
    backbone_rate: float = 0.1
    """Learning rate of the stage before the head, as a multiple of the head's."""
    layer_decay: float = 1.0
    """Learning rate of each earlier stage, as a multiple of that of the one after it."""
    normalise: Annotated[str, choice(*NORMALISE)] = "auto"
    """As the weights were trained: by ImageNet's statistics (auto for RGB), by those of these
    images (auto for grey), or by those of a data set."""

    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 32
    """Images a step, over all devices."""
    lr: float = 0.01
    """Initial learning rate of the head; the highest one, where the schedule warms up."""
    resize: int = 256
    """Side of the resized image, in pixels."""
    crop: int = 224
    """Side of the crop, in pixels: random in training, in the middle in evaluation."""
    log_every: int = 10
    """Steps between two printed losses."""
    run_dir: Path = Path("runs/finetune")
    """Gets log, checkpoints, figures and report; must be new or empty, unless resumed."""

    preset: tyro.conf.Suppress[str] = "none"
    dataset: tyro.conf.Suppress[str] = "folder"
    archive: tyro.conf.Suppress[Path | None] = None
    recipe: tyro.conf.Suppress[str] = "default"

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages that do not learn."""
        last = {"none": None, "backbone": STAGES[-2]}.get(self.freeze, self.freeze)
        return stages_up_to(last)

    @property
    def factors(self) -> dict[str, float]:
        """On the learning rate, by the stage."""
        backbone = STAGES[-2::-1]
        rates = {
            stage: self.backbone_rate * self.layer_decay**depth
            for depth, stage in enumerate(backbone)
        }
        return {**rates, "head": 1.0, **dict.fromkeys(self.frozen, 0.0)}


def check_options(config: FineTune) -> None:
    """Finds what is wrong with the options of fine-tuning by themselves.

    Raises:
        ValueError: naming the option, its value and what would do.
    """
    for name, allowed in (("freeze", FREEZE), ("normalise", NORMALISE)):
        if getattr(config, name) not in allowed:
            raise ValueError(
                f"`{name}` (={getattr(config, name)!r}) must be one of {', '.join(allowed)}"
            )
    if not (config.backbone_rate > 0 and math.isfinite(config.backbone_rate)):
        raise ValueError(
            f"`backbone_rate` (={config.backbone_rate}) must be finite and above 0; "
            "--freeze backbone keeps the backbone as it is"
        )
    if not 0 < config.layer_decay <= 1:
        raise ValueError(f"`layer_decay` (={config.layer_decay}) must be above 0 and at most 1")


def read_weights(config: FineTune, num_classes: int) -> Mapping[str, Any]:
    """The variables to start from, with a new head.

    Raises:
        ValueError: if the file cannot be read or is not of this network.
    """
    model = recipe.make_model(config, num_classes)
    key = jax.random.fold_in(jax.random.key(config.seed), 4)  # the streams before are ``fit``'s
    try:
        return load_weights(model, config.weights, head="reinit", key=key)
    except ImportError as error:
        raise ValueError(str(error)) from error
    except WeightsError as error:
        reason = " ".join(str(error).split())
        short = reason if len(reason) <= 300 else f"{reason[:300]} …"
        raise ValueError(
            f"`weights` (={config.weights}) cannot be used for `variant` (={config.variant}) with "
            f"`stem` (={config.stem}) and `base_planes` (={config.base_planes}): {short}"
        ) from error


def normalisation(config: FineTune, dataset: Dataset) -> Dataset:
    """The data set with the mean and deviation that its images are normalised by.

    Raises:
        ValueError: if they are of another number of channels.
    """
    channels = len(dataset.mean)
    name = config.normalise
    if name == "data" or (name == "auto" and channels != 3):
        return dataset
    facts = FACTS.get(name)
    mean, std = (facts.mean, facts.std) if facts else (IMAGENET_MEAN, IMAGENET_STD)
    if len(mean) != channels:
        raise ValueError(
            f"`normalise` (={name!r}) is for {len(mean)} channels, but `weights` "
            f"(={config.weights}) take {channels}; data would do"
        )
    return replace(dataset, mean=mean, std=std)


def load_job(config: FineTune) -> tuple[Task, Dataset]:
    """Reads weights and images.

    Raises:
        ValueError: as ``DatasetError`` for the images.
    """
    # The file says how many channels the images are to have; its head does not matter.
    stem = read_weights(config, num_classes=1)["params"]["conv1"]["kernel"]
    channels = stem.shape[2]
    if channels not in (1, 3):
        raise ValueError(f"`weights` (={config.weights}) take {channels} channels, not 1 or 3")
    data = load_image_folder(
        config.data_dir, side=config.resize, channels=channels, seed=config.seed
    )
    dataset = normalisation(config, data.dataset)
    names = dataset.class_names
    task = recipe.make_task(
        config,
        dataset,
        train=dataset.train,
        valid=data.valid,
        model=rest_batch_norm(recipe.make_model(config, len(names)), config.frozen),
        tx=make_stagewise_optimizer(
            config.lr,
            config.factors,
            stage_of,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
        ),
        variables=read_weights(config, len(names)),
    )
    return task, dataset


def save_facts(config: FineTune, dataset: Dataset) -> None:
    """Keeps what is needed to use the network, for no other run knows these images."""
    facts = DataFacts(dataset.class_names, config.resize, dataset.mean, dataset.std)
    facts.save(config.run_dir)


def run(config: FineTune, *, reporter: Reporter | None = None) -> Result:
    """Fine-tunes, evaluates, and writes the run folder.

    Args:
        config: the options.
        reporter: what prints; None prints to standard output.

    Raises:
        ValueError: before anything is written, for options that cannot work, weights that do not
            fit, or images that cannot be used; otherwise as ``experiments.recipe.run``.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        Interrupted: if a signal asked to stop the training.
    """
    # That the images are no data set with a name is the one thing that a recipe would refuse.
    fit_config = check(replace(config, dataset=Recipe.dataset))
    check_options(config)
    return recipe.run_job(config, fit_config, load_job, begin=save_facts, reporter=reporter)


def parse(argv: Sequence[str] | None) -> FineTune:
    """Reads a command line.

    Raises:
        SystemExit: with code 0 after ``--help``, with code 2 for arguments that cannot be read.
    """
    return tyro.cli(FineTune, args=argv, description=__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, as those of the recipes."""
    return recipe.run_command(lambda: parse(argv), run)


if __name__ == "__main__":
    raise SystemExit(main())
