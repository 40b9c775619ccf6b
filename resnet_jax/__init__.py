"""The ResNet family for JAX: torch-exact Flax models, training and evaluation."""

from .models import (
    VARIANTS,
    BasicBlock,
    BatchNorm,
    Bottleneck,
    GroupNorm,
    ResNet,
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
from .training import PlateauState, ReduceLROnPlateau

__all__ = [
    "VARIANTS",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "GroupNorm",
    "PlateauState",
    "ReduceLROnPlateau",
    "ResNet",
    "create_model",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
