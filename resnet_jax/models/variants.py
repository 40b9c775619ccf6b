"""The named variants: one table, and factories for those that torchvision has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, Unpack

from .blocks import BasicBlock, Bottleneck
from .options import ResNetOptions, Variant
from .resnet import ResNet
from .timm_variants import TIMM_VARIANTS, X32_4D, X32_8D, X64_4D

_WIDE: ResNetOptions = {"width_per_group": 128}

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "resnet18": Variant(BasicBlock, (2, 2, 2, 2), 11_689_512),
        "resnet34": Variant(BasicBlock, (3, 4, 6, 3), 21_797_672),
        "resnet50": Variant(Bottleneck, (3, 4, 6, 3), 25_557_032),
        "resnet101": Variant(Bottleneck, (3, 4, 23, 3), 44_549_160),
        "resnet152": Variant(Bottleneck, (3, 8, 36, 3), 60_192_808),
        "resnext50_32x4d": Variant(Bottleneck, (3, 4, 6, 3), 25_028_904, X32_4D),
        "resnext101_32x8d": Variant(Bottleneck, (3, 4, 23, 3), 88_791_336, X32_8D),
        "resnext101_64x4d": Variant(Bottleneck, (3, 4, 23, 3), 83_455_272, X64_4D),
        "wide_resnet50_2": Variant(Bottleneck, (3, 4, 6, 3), 68_883_240, _WIDE),
        "wide_resnet101_2": Variant(Bottleneck, (3, 4, 23, 3), 126_886_696, _WIDE),
        **TIMM_VARIANTS,
    }
)
"""Every named variant: torchvision's ten, then those that timm adds.

Counts of the ten: https://docs.pytorch.org/vision/stable/models.html; of the others: timm 1.0.31.
"""


class ResNetFactory(Protocol):
    """A function that makes one variant."""

    def __call__(self, num_classes: int = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
        """Make the module."""


def create_model(variant: str, num_classes: int = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
    """Make a variant by its name.

    Args:
        variant: a key of `VARIANTS`.
        num_classes: size of the logits.
        **options: options of `ResNet`, which take precedence over the variant's own.

    Raises:
        ValueError: for an unknown name or an option out of range.

    >>> create_model("resnext50_32x4d", num_classes=10).groups
    32
    """
    row = VARIANTS.get(variant)
    if row is None:
        raise ValueError(f"`variant` (={variant!r}) must be one of {', '.join(VARIANTS)}")
    merged: ResNetOptions = {"block": row.block, "layers": row.layers, **row.options, **options}
    return ResNet(num_classes=num_classes, **merged)


def _factory(variant: str) -> ResNetFactory:
    def make(num_classes: int = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
        return create_model(variant, num_classes, **options)

    row = VARIANTS[variant]
    make.__name__ = make.__qualname__ = variant
    make.__doc__ = (
        f"Make the variant `{variant}`: {list(row.layers)} blocks, {row.parameters:,} "
        "parameters at 1000 classes.\n\n"
        "Args:\n"
        "    num_classes: size of the logits, at least 1.\n"
        "    **options: options of `ResNet`.\n\n"
        "Raises:\n"
        "    ValueError: for an option out of range.\n"
    )
    return make


resnet18 = _factory("resnet18")
resnet34 = _factory("resnet34")
resnet50 = _factory("resnet50")
resnet101 = _factory("resnet101")
resnet152 = _factory("resnet152")
resnext50_32x4d = _factory("resnext50_32x4d")
resnext101_32x8d = _factory("resnext101_32x8d")
resnext101_64x4d = _factory("resnext101_64x4d")
wide_resnet50_2 = _factory("wide_resnet50_2")
wide_resnet101_2 = _factory("wide_resnet101_2")
