"""The augmentations by name, as the command line gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .base import Augmentation
from .color_jitter import ColorJitter
from .erase import Cutout, RandomErasing
from .geometry import Flip, PadCrop
from .mix import CutMix, Mixup
from .one_of import OneOf
from .rand_augment import RandAugment
from .resized_crop import RandomResizedCrop
from .trivial_augment import TrivialAugment

AUGMENTATIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "crop": PadCrop,
        "flip": Flip,
        "rrc": RandomResizedCrop,
        "jitter": ColorJitter,
        "randaugment": RandAugment,
        "trivialaugment": TrivialAugment,
        "cutout": Cutout,
        "erase": RandomErasing,
        "mixup": Mixup,
        "cutmix": CutMix,
    }
)
"""Every augmentation by its short name."""

ALTERNATIVE = "/"

_PARSERS: Mapping[type[Any], Callable[[str], int | float | str]] = MappingProxyType(
    {int: int, float: float, str: str}
)


def make_augmentation(spec: str) -> Augmentation:
    """Make an augmentation from its short name and, after colons, its leading options.

    Args:
        spec: a key of `AUGMENTATIONS`, such as `"cutout"`, or one with numbers or words:
            `"cutout:12"`, `"randaugment:1:5"`, `"erase:0.1:pixel"`; an option that is left out has
            its default. Several such specs with slashes between them are alternatives, of which
            one is applied to each example, see `OneOf`: `"mixup:0.2/cutmix:1"`.

    Raises:
        ValueError: if the name is unknown, does not take these options, or the alternatives are
            none.

    >>> make_augmentation("cutout:12")
    Cutout(size=12)
    >>> make_augmentation("mixup:0.2/cutmix:1")
    OneOf(choices=(Mixup(alpha=0.2), CutMix(alpha=1.0)))
    """
    if ALTERNATIVE not in spec:
        return _make_one(spec)
    choices = [_make_one(part) for part in spec.split(ALTERNATIVE)]
    try:
        return OneOf(choices)
    except ValueError as error:
        raise ValueError(f"`augment` (={spec!r}): {error}") from None


def _make_one(spec: str) -> Augmentation:
    name, *texts = spec.split(":")
    if name not in AUGMENTATIONS:
        raise ValueError(f"`augment` (={spec!r}) must be one of {', '.join(AUGMENTATIONS)}")
    kind = AUGMENTATIONS[name]
    leading = [field for field in dataclasses.fields(kind) if type(field.default) in _PARSERS]
    shape = ":".join((name, *(field.name.upper() for field in leading)))
    if len(texts) > len(leading):
        raise ValueError(f"`augment` (={spec!r}) has too many options; write {shape}")
    options: dict[str, int | float | str] = {}
    for field, text in zip(leading, texts, strict=False):
        try:
            options[field.name] = _PARSERS[type(field.default)](text)
        except ValueError:
            raise ValueError(
                f"`augment` (={spec!r}): {text!r} is not a number like {field.default}; "
                f"write {shape}"
            ) from None
    try:
        augmentation: Augmentation = kind(**options)
    except ValueError as error:
        raise ValueError(f"`augment` (={spec!r}): {error}") from None
    return augmentation
