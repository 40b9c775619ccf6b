"""Augmentations: pure batched functions of random keys, images and labels, on the device."""

from .base import Augmentation, Pipeline
from .erase import Cutout, RandomErasing
from .geometry import Flip, PadCrop
from .mix import CutMix, Mixup
from .rand_augment import RandAugment
from .table import AUGMENTATIONS, make_augmentation

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "CutMix",
    "Cutout",
    "Flip",
    "Mixup",
    "PadCrop",
    "Pipeline",
    "RandAugment",
    "RandomErasing",
    "make_augmentation",
]
