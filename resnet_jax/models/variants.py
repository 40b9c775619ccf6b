"""The named variants: one table, and factories for those of torchvision and of CIFAR."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, Unpack

from .blocks import BasicBlock, Bottleneck
from .cifar_variants import CIFAR_VARIANTS
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
        **CIFAR_VARIANTS,
    }
)
"""Every named variant: torchvision's ten, those that timm adds, and those for CIFAR.

Counts of the ten: https://docs.pytorch.org/vision/stable/models.html; of timm's: timm 1.0.31.
"""


class ResNetFactory(Protocol):
    """A function that makes one variant."""

    def __call__(self, num_classes: int = ..., **options: Unpack[ResNetOptions]) -> ResNet:
        """Make the module."""


def create_model(
    variant: str, num_classes: int | None = None, **options: Unpack[ResNetOptions]
) -> ResNet:
    """Make a variant by its name.

    Args:
        variant: a key of `VARIANTS`.
        num_classes: size of the logits; None is the variant's own, 1000 or for those of CIFAR 10.
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
    return ResNet(num_classes=row.num_classes if num_classes is None else num_classes, **merged)


def _factory(variant: str) -> ResNetFactory:
    row = VARIANTS[variant]

    def make(num_classes: int = row.num_classes, **options: Unpack[ResNetOptions]) -> ResNet:
        return create_model(variant, num_classes, **options)

    make.__name__ = make.__qualname__ = variant
    make.__doc__ = (
        f"Make the variant `{variant}`: {list(row.layers)} blocks, {row.parameters:,} "
        f"parameters at {row.num_classes} classes.\n\n"
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
resnet20 = _factory("resnet20")
resnet32 = _factory("resnet32")
resnet44 = _factory("resnet44")
resnet56 = _factory("resnet56")
resnet110 = _factory("resnet110")
preact_resnet18 = _factory("preact_resnet18")
preact_resnet34 = _factory("preact_resnet34")
preact_resnet50 = _factory("preact_resnet50")
preact_resnet110 = _factory("preact_resnet110")
preact_resnet164 = _factory("preact_resnet164")
wide_resnet16_8 = _factory("wide_resnet16_8")
wide_resnet28_10 = _factory("wide_resnet28_10")
wide_resnet40_4 = _factory("wide_resnet40_4")
resnext29_8x64d = _factory("resnext29_8x64d")
resnext29_4x64d = _factory("resnext29_4x64d")
resnext29_2x64d = _factory("resnext29_2x64d")
resnext29_32x4d = _factory("resnext29_32x4d")
