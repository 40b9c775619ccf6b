"""The options of a fine-tuning that its weights settle where they are left open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from resnet_jax.data import ImageTransform
from resnet_jax.models import STAGES, ResNetOptions, WeightsError, options_from_timm, stages_up_to
from resnet_jax.run import RunFolder
from resnet_jax.storage import expand_user, one_line

from .options import ImageOptions, ModelOptions, VariantOrAuto

if TYPE_CHECKING:
    from resnet_jax.pretrained import Pretrained

    Freeze = str
    Interpolation = str
    CropMode = str
else:
    # The rows of the tables, so that a new one needs no edit here.
    Freeze = Literal[("none", *STAGES[:-2], "backbone")]
    Interpolation = Literal["auto", "bilinear", "bicubic", "lanczos"]
    CropMode = Literal["auto", "center", "squash", "border"]

NONE = "none"
"""The name of no weights."""
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class SourceModelOptions(ModelOptions):
    """The network."""

    variant: VariantOrAuto = "auto"
    """Depth and kind of the blocks; auto is what the config.json of the weights says, and resnet34
    for a file alone. `python -m experiments --variants` lists the names."""
    model_args: Annotated[Mapping[str, Any], tyro.conf.Suppress, tyro.conf.Fixed] = field(
        default_factory=dict
    )
    """How the network of the weights differs from the variant, as timm's config.json says it."""

    def check(self) -> None:
        """Raise a `ValueError` as for other networks, once the variant is known."""
        if self.variant != "auto":
            super().check()

    @property
    def options(self) -> ResNetOptions:
        """The options of the network that differ from the variant's own."""
        return {**options_from_timm(self.model_args, self.variant), **super().options}


@dataclass(frozen=True)
class SourceImageOptions(ImageOptions):
    """How images are prepared."""

    resize: int = 0
    """Edge of the resized image, in pixels; 0 is the weights' own, or 256."""
    crop: int = 0
    """Side of the crop, in pixels: random in training, in the middle in evaluation; 0 is the
    weights' own, or 224."""
    crop_mode: CropMode = "auto"
    """How an image becomes a square: center keeps its proportions and crops, squash does not keep
    them, border adds borders; auto is the weights' own, or squash."""
    interpolation: Interpolation = "auto"
    """Filter of the resize; auto is the weights' own, or bilinear."""

    def check(self) -> None:
        """Raise a `ValueError` for a size or an augmentation that cannot work."""
        for name in ("resize", "crop"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be at least 1, or 0 for the weights' "
                    "own"
                )
        crops = (self.crop or max(self.progressive, default=0) + 1, self.eval_crop or 1)
        options = replace(
            ImageOptions(),
            resize=self.resize or max(crops),
            crop=crops[0],
            eval_crop=self.eval_crop,
            progressive=self.progressive,
            augment=self.augment,
        )
        options.check()

    def build_image_transform(
        self, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> ImageTransform:
        """Make the transform of images of any size; all options are settled.

        Args:
            mean: mean of each channel, as a fraction of the full scale.
            std: standard deviation of each channel, as a fraction of the full scale.
        """
        chosen: Any = {"crop_mode": self.crop_mode, "interpolation": self.interpolation}
        crop = self.test_crop
        return ImageTransform(resize=self.resize, crop=crop, mean=mean, std=std, **chosen)


SQUASHED = ImageTransform(resize=256, crop=224, crop_mode="squash")
"""How images are prepared for weights that do not say it."""


class Start(NamedTuple):
    """Where a fine-tuning starts.

    Attributes:
        pretrained: the network of the weights.
        model_args: how it differs from its variant, by timm's names.
    """

    pretrained: Pretrained
    model_args: Mapping[str, Any]

    @property
    def transform(self) -> ImageTransform:
        """The transform that the weights say, or the usual one."""
        return self.pretrained.transform if self.pretrained.has_transform else SQUASHED

    @property
    def settled(self) -> dict[str, Any]:
        """The value of every option that the weights settle, by its flat name."""
        transform, planes = self.transform, self.pretrained.model.base_planes
        return {
            "variant": self.pretrained.config["architecture"],
            "model_args": self.model_args,
            # Otherwise it follows from the two above.
            "base_planes": planes if isinstance(planes, int) else ModelOptions.base_planes,
            "resize": transform.resize,
            "crop": transform.crop,
            "crop_mode": transform.crop_mode,
            "interpolation": transform.interpolation,
        }


@contextmanager
def named_weights(weights: str, *, takes_runs: bool) -> Iterator[None]:
    """Call the source of weights, or a file of it, by its option in the messages of the body.

    Args:
        weights: the source.
        takes_runs: whether the command has the option --run as well.

    Raises:
        ValueError: if the source is the folder of a run.
    """
    if RunFolder(expand_user(weights)).log_path.is_file():
        advice = "name it by --run, or write" if takes_runs else "write"
        raise ValueError(
            f"`weights` (={weights}) is the folder of a run; {advice} its network to a folder of "
            f"weights by `python -m experiments.export --run {weights} --format pretrained`"
        )
    try:
        yield
    except (WeightsError, OSError, ImportError) as error:
        if len(error.args) != 1:  # the system's own
            raise
        raise type(error)(re.sub("`(source|path)`", "`weights`", str(error))) from error


@dataclass(frozen=True)
class WeightOptions:
    """The weights and how fast they learn."""

    weights: str
    """Folder with weights and config.json, name such as timm/resnet50.a1_in1k, or weight file of
    --variant and --stem; none starts anew."""
    key: str | None = None
    """Entry of a checkpoint file that holds the network; None finds it."""
    prefix: str | None = None
    """Beginning of the names of a file that is to be ignored; None finds it."""
    freeze: Freeze = "none"
    """Last stage that does not learn; backbone freezes everything but the head."""
    backbone_rate: float = 0.1
    """Learning rate of the stage before the head, as a multiple of the head's."""
    layer_decay: float = 1.0
    """Learning rate of each earlier stage, as a multiple of that of the one after it."""

    def check(self) -> None:
        """Raise a `ValueError` for a rate out of range, or an option without use."""
        # Written so that NaN is refused.
        if not 0 < self.backbone_rate < float("inf"):
            raise ValueError(
                f"`backbone_rate` (={self.backbone_rate}) must be finite and above 0; "
                "--freeze backbone keeps the backbone as it is"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"`layer_decay` (={self.layer_decay}) must be above 0 and at most 1")
        for name in ("key", "prefix", "freeze", "backbone_rate", "layer_decay"):
            value = getattr(self, name)
            if self.starts_anew and value != getattr(WeightOptions, name):
                raise ValueError(
                    f"`{name}` (={value}) is of no use to `weights` (={NONE}); leave it out"
                )

    @property
    def starts_anew(self) -> bool:
        """Whether there are no weights to start from."""
        return self.weights == NONE

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages that do not learn."""
        last = {"none": None, "backbone": STAGES[-2]}.get(self.freeze, self.freeze)
        return stages_up_to(last)

    @property
    def factors(self) -> dict[str, float]:
        """The factor of the learning rate, by the stage."""
        if self.starts_anew:
            return dict.fromkeys(STAGES, 1.0)
        backbone = STAGES[-2::-1]
        rates = {
            stage: self.backbone_rate * self.layer_decay**depth
            for depth, stage in enumerate(backbone)
        }
        return {**rates, "head": 1.0, **dict.fromkeys(self.frozen, 0.0)}

    def read(self, model: SourceModelOptions) -> Start:
        """Read the weights; their head is of no use.

        Args:
            model: the options of the network, which may be open.

        Raises:
            ValueError: if the weights cannot be used, or are of another network.
            OSError: if there are none, or they cannot be read.
        """
        from resnet_jax.pretrained import load_pretrained

        options = replace(model, variant="resnet18", model_args={}).options
        load = partial(
            load_pretrained,
            self.weights,
            num_classes=1,
            key=self.key,
            prefix=self.prefix,
            **options,
        )
        try:
            with named_weights(self.weights, takes_runs=False):
                return self._of_variant(load, model.variant)
        except WeightsError as error:
            reason = one_line(error)
            short = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} …"
            raise ValueError(
                f"`weights` (={self.weights}) cannot be used for `variant` (={model.variant}) with "
                f"`stem` (={model.stem}) and `base_planes` (={model.base_planes}): {short}"
            ) from error

    def _of_variant(self, load: partial[Pretrained], variant: str) -> Start:
        """Load the network of a variant, or of any.

        Raises:
            ValueError: if the weights say that they are of another one.
        """
        if variant == "auto" and expand_user(self.weights).is_file():
            assumed = ModelOptions.variant
            try:
                found = load(variant=assumed)
            except WeightsError as error:
                raise WeightsError(
                    f"a file of weights does not say its network, and it is not {assumed}, which "
                    "is assumed; name it by --variant, or name a folder with the file and its "
                    f"config.json: {one_line(error)}"
                ) from error
            note = f"A file of weights does not say its network: --variant {assumed} is assumed."
            return Start(replace(found, origin_notes=(note, *found.origin_notes)), {})
        try:
            found = load()
        except WeightsError:
            if variant == "auto":
                raise
            # There is no `config.json`, or it is of an architecture with another name.
            return Start(load(variant=variant), {})
        own = found.config["architecture"]
        if variant not in ("auto", own):
            raise ValueError(
                f"`variant` (={variant}) contradicts the config.json of `weights` "
                f"(={self.weights}), which says {own}; leave it out"
            )
        return Start(found, found.config.get("model_args", {}))
