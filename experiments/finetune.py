"""Fine-tune weights of timm, torchvision, transformers or a run on a folder of your own images.

    python -m experiments.finetune --weights timm/resnet50.a1_in1k --data-dir photos
    python -m experiments.finetune --weights resnet34.pth --variant resnet34 --data-dir photos

The folder holds photos/<class>/*.jpg, or photos/train/<class>/, with photos/valid/ and photos/test/
if you have divided it yourself, in any usual spelling; a missing part is split off, a tenth of each
class. What was found and what was passed over is printed before the images are read. The head is
new, for your classes; the rest starts at the weights. The learning rate is the head's: the
backbone learns at --backbone-rate times it, each stage further from the head at --layer-decay
times the one after it, and what --freeze names does not learn at all.

Images are resized, cropped and normalised as the weights were tested, where their config.json says
it and no option says otherwise; the crop is at a random place in training. What was taken from
where is printed, and the run folder keeps it, for resuming, predict, validate and export. A weight
file alone does not say it: then images are squashed to 256 pixels and cropped to 224.
--weights none starts anew, with one learning rate for all layers.

A frozen stage is frozen as a whole: its BatchNorms keep the running statistics of the weights and
normalise with them in training, too.

Everything else, such as the run folder, resuming and signals, is as with the other recipes.

On 100 images of digits, a narrow ResNet-18 trained on other digits before reached 97.7 % test
accuracy in 12 epochs, 98.2 % with --freeze backbone, and 71.8 % from random weights (one seed; the
time was not measured). Photographs and new classes are not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp

from resnet_jax.data import (
    DATASETS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_PIXELS,
    load_image_folder,
)
from resnet_jax.models import Dense, ResNet, freeze_batch_norm, stage_of
from resnet_jax.run import DataFacts, FitConfig, processes
from resnet_jax.storage import one_line

from . import cli
from .choices import check_choices
from .flat import Free, flatten, override
from .job import Built, CreateModel, Job
from .options import ModelOptions
from .photo_options import decoded_dir
from .run_options import RunOptions
from .source_options import (
    SQUASHED,
    SourceImageOptions,
    SourceModelOptions,
    Start,
    WeightOptions,
)
from .streams import tell
from .train import run_command
from .training_options import OptimizerOptions, TrainingOptions

if TYPE_CHECKING:
    Normalise = str
else:
    # The rows of the table, so that a new one needs no edit here.
    Normalise = Literal[("auto", "imagenet", "data", *DATASETS)]


class Statistics(NamedTuple):
    """What images are normalised by.

    Attributes:
        mean: mean of each channel, as a fraction of the full scale.
        std: standard deviation of each channel, as a fraction of the full scale.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class FolderOptions:
    """The folder of images."""

    data_dir: Free[Path]
    """The image folder."""
    max_megapixels: Free[float] = MAX_PIXELS / 1e6
    """Millions of pixels that an image may have; a small file may unpack to very many."""
    image_cache: Free[bool] = True
    """Keep the decoded images in your cache directory, 20 GB at most, for later starts and
    --resume, which then read no image file."""
    normalise: Normalise = "auto"
    """Statistics that images are normalised by; auto is the weights' own. Of weights that have
    none, it is imagenet for RGB and data (yours) for grey; without weights it is data."""

    def check(self) -> None:
        """Raise a `ValueError` for a number of pixels out of range."""
        if not (self.max_megapixels > 0 and math.isfinite(self.max_megapixels)):
            raise ValueError(
                f"`max_megapixels` (={self.max_megapixels}) must be finite and above 0"
            )

    def statistics(self, channels: int, own: Statistics | None) -> Statistics | None:
        """Return the mean and deviation that images are normalised by; None for their own.

        Args:
            channels: number of channels of the images.
            own: those of the weights, if they say them.

        Raises:
            ValueError: if the statistics are of another number of channels.
        """
        name = self.normalise
        if name == "auto" and own is not None:
            return own
        if name == "data" or (name == "auto" and channels != 3):
            return None
        spec = DATASETS.get(name)
        found = Statistics(spec.mean, spec.std) if spec else Statistics(IMAGENET_MEAN, IMAGENET_STD)
        if len(found.mean) != channels:
            raise ValueError(
                f"`normalise` (={name!r}) is for {len(found.mean)} channels, but `weights` take "
                f"{channels}; try --normalise data"
            )
        return found


_OF_IMAGES = ("resize", "crop", "crop_mode", "interpolation")
UNSETTLED: Mapping[str, Any] = MappingProxyType(
    {
        "variant": "auto",
        "model_args": {},
        "base_planes": ModelOptions.base_planes,
        **dict.fromkeys(("resize", "crop"), 0),
        **dict.fromkeys(("crop_mode", "interpolation"), "auto"),
    }
)
"""Options that the weights settle, with the value by which they are left open."""
SQUASHED_AS_BEFORE: Mapping[str, Any] = MappingProxyType(
    {"crop_mode": SQUASHED.crop_mode, "interpolation": SQUASHED.interpolation}
)
"""How images were prepared before there was a choice."""


@dataclass(frozen=True, kw_only=True)
class FineTune(Job):
    """What to fine-tune, on what, and how."""

    weights: WeightOptions
    folder: FolderOptions
    model: SourceModelOptions = field(default_factory=SourceModelOptions)
    images: SourceImageOptions = field(default_factory=SourceImageOptions)
    training: TrainingOptions = field(
        default_factory=partial(TrainingOptions, epochs=20, batch_size=32)
    )
    optimizer: OptimizerOptions = field(default_factory=partial(OptimizerOptions, lr=0.01))
    run: RunOptions = field(
        default_factory=partial(RunOptions, run_dir=Path("runs/finetune"), log_every=10)
    )

    # What a recipe chooses; `config.json` says it, so that every run is read in the same way.
    preset: Free[str] = field(default="none", init=False)
    recipe: str = field(default="default", init=False)
    dataset: str = field(default="folder", init=False)
    archive: Free[Path | None] = field(default=None, init=False)

    def check(self) -> FitConfig:
        """Find what is wrong with the options by themselves.

        Returns:
            The part of them that configures the loop.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        config = super().check()
        self.weights.check()
        self.folder.check()
        return config

    @property
    def defaults(self) -> dict[str, Any]:
        """What options stand for in an older run that does not say them, by their flat names."""
        return {**super().defaults, **SQUASHED_AS_BEFORE}

    def resolve(self) -> Self:
        """Settle what the weights say, or, of a run that is resumed, what it has taken from them.

        What was taken is printed on standard error, once for all processes.

        Raises:
            ValueError: if the weights cannot be used, or other options do not go with them.
            OSError: if they cannot be read.
        """
        job = super().resolve()
        values = flatten(job)
        unsettled = [name for name, value in UNSETTLED.items() if values[name] == value]
        if self.run.resume:
            folder = self.run.build()
            saved = {**SQUASHED_AS_BEFORE, **folder.read_config()}
            settled = {name: saved[name] for name in unsettled if name in saved}
            origin = f"{folder.config_path} is not of a fine-tuning"
        else:
            settled = self._settle(unsettled)
            origin = "the options do not go together"
        job = override(job, **settled)
        try:
            check_choices(job)
            job.model.check()
            job.images.check()
            job.images.build_image_transform(IMAGENET_MEAN, IMAGENET_STD)
            job.model.build(1)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{origin}: {one_line(error)}") from error
        return job

    def _settle(self, unsettled: Sequence[str]) -> dict[str, Any]:
        """Return the values of the options that are not settled, and say where they are from."""
        if self.weights.starts_anew:
            transform = {name: getattr(SQUASHED, name) for name in _OF_IMAGES}
            everything = {"variant": ModelOptions.variant, **transform}
            return {name: everything[name] for name in unsettled if name in everything}
        start = self.weights.read(self.model)
        settled = {name: start.settled[name] for name in unsettled}
        if processes.is_first():
            pretrained = start.pretrained
            tell(f"weights of {pretrained.source}: {pretrained.config['architecture']}")
            for note in pretrained.origin_notes:
                tell(note)
            taken = [name for name in _OF_IMAGES if name in settled]
            given = [name for name in _OF_IMAGES if name not in settled]
            if pretrained.has_transform:
                taken += ["mean and std"] if self.folder.normalise == "auto" else []
                _tell_values("taken from the weights", taken, settled)
            else:
                _tell_values("the weights do not say how to prepare images", taken, settled)
            _tell_values("taken from the options", given, flatten(self.images))
        return settled

    def build(self, create_model: CreateModel | None = None) -> Built:
        """Read weights and images, and make the task; all options are settled.

        Args:
            create_model: makes the network; None makes that of the options.

        Raises:
            ValueError: if the weights do not fit the network, or the images cannot be used.
        """
        start = None if self.weights.starts_anew else self.weights.read(self.model)
        # What can be refused is refused before the images are read.
        channels = 3 if start is None else len(start.pretrained.transform.mean)
        statistics = self._statistics(channels, start)
        if statistics is None and self.images.crop_mode == "border":
            raise ValueError(
                "`crop_mode` (='border') needs the mean before the images are read; try "
                "--normalise imagenet"
            )
        shown = statistics or Statistics((0.5,) * channels, (1.0,) * channels)
        side = self.images.resize
        data = load_image_folder(
            self.folder.data_dir,
            side=side,
            channels=channels,
            seed=self.training.seed,
            transform=self.images.build_image_transform(*shown),
            max_pixels=max(1, round(self.folder.max_megapixels * 1e6)),
            keep_in=decoded_dir(self.folder.image_cache),
            on_found=self.check_found,
        )
        if data.note and processes.is_first():
            tell(data.note)
        dataset = data.dataset
        if statistics is not None:
            dataset = replace(dataset, mean=statistics.mean, std=statistics.std)
        model = (create_model or self.model.build)(len(dataset.class_names))
        task = self.build_task(
            dataset,
            train=dataset.train,
            valid=data.valid,
            model=freeze_batch_norm(model, self.weights.frozen) if self.weights.frozen else model,
            tx=self.optimizer.build(self.weights.factors, stage_of),
            variables=None if start is None else self._variables(start, model, channels),
        )
        # No registry knows these images.
        facts = DataFacts(dataset.class_names, side, dataset.mean, dataset.std)
        return Built(task, dataset, facts)

    def _statistics(self, channels: int, start: Start | None) -> Statistics | None:
        """Return what images are normalised by; None for their own statistics.

        A run that is resumed has them already, whatever the weights say by now.

        Raises:
            ValueError: if the statistics are of another number of channels.
        """
        facts = self.run.build().read_data() if self.run.resume else None
        if facts is not None:
            return Statistics(facts.mean, facts.std)
        if start is None and self.folder.normalise == "auto":
            return None
        own = None
        if start is not None and start.pretrained.has_transform:
            own = Statistics(start.transform.mean, start.transform.std)
        return self.folder.statistics(channels, own)

    def _variables(self, start: Start, model: ResNet, channels: int) -> dict[str, Any]:
        """Return the variables to start from, with a new head.

        Raises:
            ValueError: if they are not those of the network.
        """
        # The first four streams of the seed are those of `fit`.
        key = jax.random.fold_in(jax.random.key(self.training.seed), 4)
        old = start.pretrained.variables
        features = old["params"]["fc"]["kernel"].shape[0]
        head = Dense(model.num_classes).init(key, jnp.zeros((1, features)))["params"]
        variables = {**old, "params": {**old["params"], "fc": head}}
        image = jnp.zeros((1, 32, 32, channels))
        shapes = jax.eval_shape(model.init, jax.random.key(0), image)
        if _layout(shapes) != _layout(variables):
            raise ValueError(
                f"`weights` (={self.weights.weights}) are not of the network that the options "
                f"make: `variant` (={self.model.variant}) and `model_args` "
                f"(={dict(self.model.model_args)})"
            )
        return variables


def _layout(variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every variable by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True): leaf.shape for path, leaf in leaves}


def _tell_values(origin: str, names: Sequence[str], values: Mapping[str, Any]) -> None:
    """Print where some options are from, on standard error, if there are any."""
    if names:
        said = [f"{name} {values[name]}" if name in values else name for name in names]
        tell(f"{origin}: {', '.join(said)}")


def parse(argv: Sequence[str] | None) -> FineTune:
    """Read the command line.

    Args:
        argv: the arguments; None takes the process's.

    Raises:
        SystemExit: with code 0 after `--help`, with code 2 for arguments that cannot be read.
    """
    return cli.parse(FineTune, argv, description=__doc__)


def main(argv: Sequence[str] | None = None, *, create_model: CreateModel | None = None) -> int:
    """Run the command; return its exit code, as those of the recipes."""
    return run_command(lambda: parse(argv), create_model=create_model)


if __name__ == "__main__":
    raise SystemExit(main())
