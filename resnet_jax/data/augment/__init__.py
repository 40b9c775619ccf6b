"""Augmentations: pure batched functions of random keys, images and labels, on the device."""

from .base import Augmentation, Pipeline
from .color_jitter import ColorJitter
from .erase import Cutout, RandomErasing
from .geometry import Flip, PadCrop
from .mix import CutMix, Mixup
from .one_of import OneOf
from .rand_augment import RandAugment
from .resized_crop import RandomResizedCrop
from .table import AUGMENTATIONS, make_augmentation
from .trivial_augment import TrivialAugment

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "Flip",
    "Mixup",
    "OneOf",
    "PadCrop",
    "Pipeline",
    "RandAugment",
    "RandomErasing",
    "RandomResizedCrop",
    "TrivialAugment",
    "make_augmentation",
]
