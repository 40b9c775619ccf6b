"""The ResNet family as Flax linen modules, and its weights in torch's formats.

Attributes:
    STAGES: the names of the stages of a ResNet, from the image to the logits.
    STEMS: the table of the stems, a read-only mapping from name to `Stem`.
    VARIANTS: the table of the named variants, a read-only mapping from name to `Variant`.
"""

from .blocks import BasicBlock, Block, Bottleneck, ResidualBlock
from .freezing import STAGES, freeze_batch_norm, stage_of, stages_up_to
from .layers import BatchNorm, Conv, Dense, GroupNorm, NormLayer
from .resnet import ResNet
from .shortcuts import Downsample, Shortcut
from .stems import STEMS, ConvStem, Stem
from .torch_names import WeightsError, image_channels
from .torch_weights import from_torch, to_torch
from .variants import (
    VARIANTS,
    ResNetOptions,
    Variant,
    create_model,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .weight_files import load_weights, save_weights

__all__ = [
    "STAGES",
    "STEMS",
    "VARIANTS",
    "BasicBlock",
    "BatchNorm",
    "Block",
    "Bottleneck",
    "Conv",
    "ConvStem",
    "Dense",
    "Downsample",
    "GroupNorm",
    "NormLayer",
    "ResNet",
    "ResNetOptions",
    "ResidualBlock",
    "Shortcut",
    "Stem",
    "Variant",
    "WeightsError",
    "create_model",
    "freeze_batch_norm",
    "from_torch",
    "image_channels",
    "load_weights",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "save_weights",
    "stage_of",
    "stages_up_to",
    "to_torch",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
