"""The named variants: one table, and a factory for each of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypedDict, Unpack

from jax.typing import DTypeLike

from .blocks import BasicBlock, Block, Bottleneck
from .layers import NormLayer
from .resnet import ResNet
from .stems import Stem


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        block: the residual block.
        layers: blocks in each of the four stages.
        parameters: trainable parameters at 1000 classes, as torchvision documents them.
        groups: channel groups of the 3×3 convolutions.
        width_per_group: channels per group at 64 planes.
    """

    block: Block
    layers: tuple[int, int, int, int]
    parameters: int
    groups: int = 1
    width_per_group: int = 64


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "resnet18": Variant(BasicBlock, (2, 2, 2, 2), 11_689_512),
        "resnet34": Variant(BasicBlock, (3, 4, 6, 3), 21_797_672),
        "resnet50": Variant(Bottleneck, (3, 4, 6, 3), 25_557_032),
        "resnet101": Variant(Bottleneck, (3, 4, 23, 3), 44_549_160),
        "resnet152": Variant(Bottleneck, (3, 8, 36, 3), 60_192_808),
        "resnext50_32x4d": Variant(Bottleneck, (3, 4, 6, 3), 25_028_904, 32, 4),
        "resnext101_32x8d": Variant(Bottleneck, (3, 4, 23, 3), 88_791_336, 32, 8),
        "resnext101_64x4d": Variant(Bottleneck, (3, 4, 23, 3), 83_455_272, 64, 4),
        "wide_resnet50_2": Variant(Bottleneck, (3, 4, 6, 3), 68_883_240, 1, 128),
        "wide_resnet101_2": Variant(Bottleneck, (3, 4, 23, 3), 126_886_696, 1, 128),
    }
)
"""Every named variant. Counts: https://docs.pytorch.org/vision/stable/models.html."""


class ResNetOptions(TypedDict, total=False):
    """The options of `ResNet` that a factory takes; `ResNet` explains them."""

    zero_init_residual: bool
    """Start every residual branch at zero."""
    groups: int
    """Channel groups of the 3×3 convolutions."""
    width_per_group: int
    """Channels per group at 64 planes."""
    replace_stride_with_dilation: Sequence[bool] | None
    """For stages 2, 3, 4: dilate instead of striding."""
    norm_layer: NormLayer | None
    """Makes the normalisations."""
    stem: str | Stem
    """A name in `STEMS`, or what makes another stem."""
    base_planes: int
    """Planes of the first stage, doubled in each further one."""
    dtype: DTypeLike | None
    """Dtype of the computation."""
    axis_name: str | None
    """The mapped axis that BatchNorm shares its statistics over."""
    remat: bool
    """Recompute the blocks' activations in the backward pass."""
    name: str | None
    """The module's name within another module."""


class ResNetFactory(Protocol):
    """A function that makes one variant."""

    def __call__(self, num_classes: int = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
        """Make the module."""


def create_model(variant: str, num_classes: int = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
    """Make a variant by its name.

    Args:
        variant: a key of `VARIANTS`.
        num_classes: size of the logits.
        **options: options of `ResNet`.

    Raises:
        ValueError: for an unknown name or an option out of range.

    >>> create_model("resnext50_32x4d", num_classes=10).groups
    32
    """
    row = VARIANTS.get(variant)
    if row is None:
        raise ValueError(f"`variant` (={variant!r}) must be one of {', '.join(VARIANTS)}")
    options.setdefault("groups", row.groups)
    options.setdefault("width_per_group", row.width_per_group)
    return ResNet(row.block, row.layers, num_classes, **options)


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
