"""`config.json` in the forms that timm and transformers write, as one form: timm's nested one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data import IMAGENET_MEAN, IMAGENET_STD, ImageTransform
from ..models import ResNetOptions, WeightsError, options_from_timm
from ..storage import whole_number
from .architectures import check_architecture
from .imagenet import imagenet_classes
from .own_options import read_own_options
from .transformers_config import from_transformers

USUAL = {
    "input_size": [3, 224, 224],
    "interpolation": "bilinear",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": list(IMAGENET_MEAN),
    "std": list(IMAGENET_STD),
}
"""The transform of ImageNet's weights in torchvision, as an entry of timm."""

_LARGEST = {"layers": 1000, "num_classes": 2**24}
# Entries of the flat form that do not describe the input and the head.
_ROOT = ("architecture", "num_classes", "num_features", "global_pool", "model_args")
_LABELS = ("label_names", "label_descriptions")


@dataclass(frozen=True)
class Description:
    """What is known of a network before its weights are read.

    Attributes:
        config: timm's nested form.
        options: options of `create_model` that follow from it.
    """

    config: Mapping[str, Any]
    options: ResNetOptions

    @property
    def architecture(self) -> str:
        """The name in the table of variants."""
        return self.config["architecture"]

    @property
    def num_classes(self) -> int | None:
        """Number of classes of the stored head; None if it is not known."""
        return self.config.get("num_classes")

    def transform(self, *, test_size: bool) -> ImageTransform:
        """Return the evaluation transform.

        Args:
            test_size: see `ImageTransform.from_timm`.

        Raises:
            WeightsError: if the entry `pretrained_cfg` describes none.
        """
        try:
            return ImageTransform.from_timm(self.config["pretrained_cfg"], test_size=test_size)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            raise WeightsError(f"`pretrained_cfg` describes no transform: {error}") from error

    def class_names(self) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """Return the names of the classes, and sentences on names that cannot be used."""
        names, descriptions = (self.config.get(entry) for entry in _LABELS)
        if not names:
            return None, ()
        if isinstance(names, Mapping):
            names = [names.get(str(index)) for index in range(len(names))]
        known = descriptions if isinstance(descriptions, Mapping) else {}
        texts = [known.get(name, name) for name in names if isinstance(name, str)]
        strings = tuple(text for text in texts if isinstance(text, str))
        if len(strings) != self.num_classes:
            return None, (
                f"The {len(names)} `label_names` are not used: they must be "
                f"{self.num_classes} texts, one a class.",
            )
        return strings, ()


def name_classes(description: Description, classes: int) -> tuple[Description, tuple[str, ...]]:
    """Return the description with ImageNet's names, where there are 1000 classes without names.

    Args:
        description: the description.
        classes: number of classes of the stored head.

    Returns:
        The description, and a sentence if the names are taken from here.
    """
    if classes != len(imagenet_classes()) or description.config.get("label_names"):
        return description, ()
    words = imagenet_classes()
    labels = {"label_names": list(words), "label_descriptions": dict(words)}
    note = "The names are those of ImageNet's classes: the source has 1000 classes without names."
    config = {**description.config, "num_classes": classes, **labels}
    return Description(config, description.options), (note,)


def describe_variant(variant: str) -> Description:
    """Return the description of a variant's weights of which nothing else is known.

    Args:
        variant: a name in the table of variants.

    Raises:
        ValueError: if there is no such variant.
    """
    check_architecture(variant, "variant")
    return Description({"architecture": variant, "pretrained_cfg": dict(USUAL)}, {})


def describe(raw: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> Description:
    """Return the description of a network by its `config.json`.

    Args:
        raw: timm's new form, its old flat form, or the form of a ResNet in transformers.
        preprocessor: the `preprocessor_config.json` beside transformers' form.

    Raises:
        WeightsError: if the form is another one, or a value is out of range; the message begins
            with the name of the entry.
    """
    if "model_type" in raw and "architecture" not in raw:
        config, options = from_transformers(raw, preprocessor)
        _check_numbers(config)
        return Description(config, options)
    config = _nested(raw)
    _check_numbers(config)
    architecture = config["architecture"]
    try:
        options = options_from_timm(config.get("model_args", {}), architecture)
    except (AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"`model_args` cannot be used: {error}") from error
    merged: ResNetOptions = {**options, **read_own_options(config)}
    _check_counts(merged)
    return Description(config, merged)


def _check_counts(options: Mapping[str, Any]) -> None:
    """Raise for numbers with a fraction, or text, where a network counts."""
    for name in ("groups", "width_per_group", "reduce_first", "base_planes"):
        value = options.get(name, 1)
        for count in value if isinstance(value, Sequence) else (value,):
            try:
                whole_number(name, count, least=None)
            except TypeError as error:
                raise WeightsError(str(error)) from error


def _nested(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return timm's nested form of either of its forms."""
    if not isinstance(raw.get("architecture"), str):
        raise WeightsError(
            "`architecture` is missing, so that this is neither timm's form nor, without "
            "`model_type`, that of transformers"
        )
    inner = raw.get("pretrained_cfg", {})
    if not isinstance(inner, Mapping):
        raise WeightsError(f"`pretrained_cfg` (={inner!r:.40}) must be an object")
    flat = {"num_classes": 1000, **raw} if "pretrained_cfg" not in raw else raw
    if "pretrained_cfg" not in raw:
        inner = {name: value for name, value in raw.items() if name not in _ROOT}
    labels = raw.get("label_names", raw.get("labels"))
    config: dict[str, Any] = {
        # A name may have the tag of its weights, as in `resnet50.a1_in1k`.
        "architecture": raw["architecture"].partition(".")[0],
        "num_classes": flat.get("num_classes", inner.get("num_classes", 1000)),
        "label_names": labels if labels is not None else inner.get("label_names"),
        "label_descriptions": raw.get("label_descriptions", inner.get("label_descriptions")),
        "model_args": raw.get("model_args"),
    }
    config = {name: value for name, value in config.items() if value is not None}
    left_out = (*_LABELS, "labels")
    pretrained = {name: value for name, value in inner.items() if name not in left_out}
    others = {n: v for n, v in raw.items() if "pretrained_cfg" in raw and n not in config}
    others = {name: value for name, value in others.items() if name not in left_out}
    return {**others, **config, "pretrained_cfg": pretrained}


def _check_numbers(config: Mapping[str, Any]) -> None:
    """Raise for what no network has, before anything is made of it."""
    check_architecture(config["architecture"], "architecture")
    count = config["num_classes"]
    if type(count) is not int or not 0 <= count <= _LARGEST["num_classes"]:
        raise WeightsError(f"`num_classes` (={count!r:.40}) must be a number of classes")
    names = config.get("label_names")
    if names is not None and (isinstance(names, str) or not isinstance(names, Sequence | Mapping)):
        raise WeightsError(f"`label_names` (={names!r:.40}) must be a list")
    arguments = config.get("model_args", {})
    if not isinstance(arguments, Mapping):
        raise WeightsError(f"`model_args` (={arguments!r:.40}) must be an object")
    layers = arguments.get("layers")
    if layers is not None and not (
        isinstance(layers, Sequence)
        and 1 <= len(layers) <= 4
        and all(type(count) is int and 1 <= count <= _LARGEST["layers"] for count in layers)
    ):
        raise WeightsError(f"`layers` (={layers!r:.40}) must be one to four numbers of blocks")
