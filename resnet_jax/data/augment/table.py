"""The augmentations by name, as the command line gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .base import Augmentation
from .erase import Cutout, RandomErasing
from .geometry import Flip, PadCrop
from .mix import CutMix, Mixup
from .rand_augment import RandAugment

AUGMENTATIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "crop": PadCrop,
        "flip": Flip,
        "randaugment": RandAugment,
        "cutout": Cutout,
        "erase": RandomErasing,
        "mixup": Mixup,
        "cutmix": CutMix,
    }
)
"""Every augmentation by its short name."""


def make_augmentation(spec: str) -> Augmentation:
    """Make an augmentation from its short name and, after colons, its leading numbers.

    Args:
        spec: a key of `AUGMENTATIONS`, such as `"cutout"`, or one with numbers: `"cutout:12"`,
            `"randaugment:1:5"`.

    Raises:
        ValueError: if the name is unknown, or does not take these numbers.

    >>> make_augmentation("cutout:12")
    Cutout(size=12)
    """
    name, *texts = spec.split(":")
    if name not in AUGMENTATIONS:
        raise ValueError(f"`augment` (={spec!r}) must be one of {', '.join(AUGMENTATIONS)}")
    kind = AUGMENTATIONS[name]
    numbers = [
        field for field in dataclasses.fields(kind) if isinstance(field.default, int | float)
    ]
    shape = ":".join((name, *(field.name.upper() for field in numbers)))
    if len(texts) > len(numbers):
        raise ValueError(f"`augment` (={spec!r}) has too many numbers; write {shape}")
    options: dict[str, int | float] = {}
    for field, text in zip(numbers, texts, strict=False):
        try:
            options[field.name] = int(text) if isinstance(field.default, int) else float(text)
        except ValueError:
            raise ValueError(
                f"`augment` (={spec!r}): {text!r} is not a number like {field.default}; "
                f"write {shape}"
            ) from None
    try:
        return kind(**options)
    except ValueError as error:
        raise ValueError(f"`augment` (={spec!r}): {error}") from None
