"""The ResNet family as Flax linen modules; needs jax, flax and ``resnet_jax.ops`` alone.

Attributes:
    VARIANTS: the table of the named variants, a read-only mapping from name to ``Variant``.
"""

from .blocks import BasicBlock, Bottleneck, Downsample
from .layers import BatchNorm, Conv, Dense, GroupNorm, NormLayer
from .resnet import ResNet
from .torch_weights import WeightsError, from_torch, to_torch
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
    "VARIANTS",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "Dense",
    "Downsample",
    "GroupNorm",
    "NormLayer",
    "ResNet",
    "ResNetOptions",
    "Variant",
    "WeightsError",
    "create_model",
    "from_torch",
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
    "to_torch",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
