"""The named variants as NNX modules: those of the table, and their factories."""

from __future__ import annotations

from typing import Protocol, Unpack

from flax import nnx

from .. import models
from ..models import VARIANTS, ResNetOptions
from .network import ResNet


class ResNetFactory(Protocol):
    """A function that makes one variant."""

    def __call__(
        self,
        num_classes: int = ...,
        *,
        rngs: nnx.Rngs,
        in_channels: int = ...,
        **options: Unpack[ResNetOptions],
    ) -> ResNet:
        """Make the module."""


def create_model(
    variant: str,
    num_classes: int | None = None,
    *,
    rngs: nnx.Rngs,
    in_channels: int = 3,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Make a variant by its name, in training mode.

    Args:
        variant: a key of `resnet_jax.VARIANTS`.
        num_classes: size of the logits; None is the variant's own, 1000 or for those of CIFAR 10.
        rngs: random numbers: `params` for the parameters, and `dropout`.
        in_channels: channels of the images.
        **options: options of `resnet_jax.ResNet`, which take precedence over the variant's own.

    Raises:
        ValueError: for an unknown name or an option out of range.

    >>> create_model("resnet20", rngs=nnx.Rngs(0), in_channels=1).conv1.kernel.shape
    (3, 3, 1, 16)
    """
    linen = models.create_model(variant, num_classes, **options)
    return ResNet(linen, rngs=rngs, in_channels=in_channels)


def _factory(variant: str) -> ResNetFactory:
    row = VARIANTS[variant]

    def make(
        num_classes: int = row.num_classes,
        *,
        rngs: nnx.Rngs,
        in_channels: int = 3,
        **options: Unpack[ResNetOptions],
    ) -> ResNet:
        return create_model(variant, num_classes, rngs=rngs, in_channels=in_channels, **options)

    make.__name__ = make.__qualname__ = variant
    make.__doc__ = (
        f"Make the variant `{variant}` as an NNX module: {list(row.layers)} blocks, "
        f"{row.parameters:,} parameters at {row.num_classes} classes.\n\n"
        "Args:\n"
        "    num_classes: size of the logits, at least 1.\n"
        "    rngs: random numbers: `params` for the parameters, and `dropout`.\n"
        "    in_channels: channels of the images.\n"
        "    **options: options of `resnet_jax.ResNet`.\n\n"
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
