"""The augmentations by their names, as a command line gives them."""

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
"""Every augmentation, by its short name."""


def make_augmentation(spec: str) -> Augmentation:
    """Makes an augmentation of its short name and, after colons, its leading numbers.

    Args:
        spec: a key of ``AUGMENTATIONS``, as ``"cutout"``, ``"cutout:12"`` or ``"randaugment:1:5"``.

    Raises:
        ValueError: for an unknown name, or numbers that it does not take.

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
                f"`augment` (={spec!r}): {text!r} is no number of the kind of "
                f"{field.default}; write {shape}"
            ) from None
    try:
        return kind(**options)
    except ValueError as error:
        raise ValueError(f"`augment` (={spec!r}): {error}") from None
