"""The residual blocks, and the interface that a block of one's own has.

References:
    He et al. 2015, https://arxiv.org/abs/1512.03385 (both blocks); Xie et al. 2016,
    https://arxiv.org/abs/1611.05431 (grouped). The layouts are torchvision's, where the stride of
    a bottleneck sits on its 3×3 convolution ("ResNet v1.5").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from .anti_alias import AntiAlias
from .attention import Attention
from .layers import Activation, BatchNorm, Conv, Initializer, NormLayer
from .shortcuts import Downsample, Shortcut


class Block(Protocol):
    """What `ResNet.block` may be: a linen module class with these fields.

    The module is called as `block(x, train)`, maps `[batch, height, width, in]` to
    `[batch, height / stride, width / stride, planes · expansion]` and raises on construction for
    a field that it does not support. `ResidualBlock` is a base class with these fields and with
    those of the options that a network passes on only where they are given: `act`, `attention`,
    `anti_alias`, `shortcut`, `reduce_first`, `widths`, `dropout`, and `out_dilation` in the first
    block of a stage that dilates.
    """

    expansion: int
    """Output channels, as a multiple of `planes`."""

    def __call__(
        self,
        *,
        planes: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        zero_init_residual: bool = False,
        norm_layer: NormLayer = BatchNorm,
        dtype: DTypeLike | None = None,
        axis_name: str | None = None,
        parent: Any = ...,
    ) -> nn.Module:
        """Make the module; see `ResidualBlock` for the fields, and Flax for `parent`."""


class ResidualBlock(nn.Module):
    """Base class of the blocks: their fields, their normalisations and the shortcut.

    A subclass sets `expansion` and computes the residual branch in a compact `__call__`. The torch
    state dict has its layers in the order in which it makes them. It has attention, anti-aliasing
    and dropout where it calls `attend`, `filter` and `drop`.

    >>> class Plain(ResidualBlock):
    ...     expansion = 1
    ...
    ...     @nn.compact
    ...     def __call__(self, x, train=False):
    ...         y = Conv(self.planes, 3, self.stride, dtype=self.dtype, name="conv1")(x)
    ...         y = self.make_norm("bn1", last=True)(y, train)
    ...         return nn.relu(self.add_shortcut(y, x, train))
    """

    expansion: ClassVar[int]
    """Output channels, as a multiple of `planes`."""

    planes: int
    """Nominal width of the block."""
    stride: int = 1
    """Factor by which the map shrinks."""
    groups: int = 1
    """Channel groups of the 3×3 convolution."""
    base_width: int = 64
    """Channels per group at 64 planes."""
    dilation: int = 1
    """Dilation of the 3×3 convolution."""
    zero_init_residual: bool = False
    """Whether the residual branch starts at zero."""
    norm_layer: NormLayer = BatchNorm
    """Makes the normalisations."""
    dtype: DTypeLike | None = None
    """Dtype of the computation; None takes the input's."""
    axis_name: str | None = None
    """Passed to the normalisations."""
    shortcut: Shortcut = Downsample
    """Makes the shortcut where the block changes the shape."""
    act: Activation = nn.relu
    """The activation."""
    attention: Attention | None = None
    """Makes the attention of the residual branch; None has none."""
    anti_alias: AntiAlias | None = None
    """Makes the low-pass filter that takes over the stride; None has none."""
    reduce_first: int = 1
    """Divisor of the first convolution's output channels."""
    widths: Sequence[int] | None = None
    """Output channels of each convolution; None follows from `planes`."""
    out_dilation: int | None = None
    """Dilation of the blocks that follow in the stage; None is `dilation`."""
    dropout: float = 0.0
    """Probability in training that a value before the last convolution is zero."""

    def make_norm(self, name: str, *, last: bool = False) -> nn.Module:
        """Make a normalisation.

        Args:
            name: name of the module.
            last: whether it is the last one of the residual branch, the scale of which
                `zero_init_residual` sets to zero.
        """
        zero = last and self.zero_init_residual
        scale_init: Initializer = nn.initializers.zeros if zero else nn.initializers.ones
        return self.norm_layer(
            scale_init=scale_init, dtype=self.dtype, axis_name=self.axis_name, name=name
        )

    def make_inner_conv(self, features: int) -> nn.Module:
        """Make the 3×3 convolution of a bottleneck, strided, dilated and grouped, as `conv2`.

        Args:
            features: output channels.
        """
        where = (self.conv_stride, self.dilation, self.groups)
        return Conv(features, 3, *where, dtype=self.dtype, name="conv2")

    @property
    def filtered(self) -> bool:
        """Whether the block has a low-pass filter: where it strides, or its stage dilates."""
        changes = self.stride > 1 or self.out_dilation not in (None, self.dilation)
        return self.anti_alias is not None and changes

    @property
    def conv_stride(self) -> int:
        """Stride of the 3×3 convolution: 1 where a low-pass filter takes it over."""
        return 1 if self.filtered else self.stride

    @property
    def basic_widths(self) -> Sequence[int]:
        """Output channels of the two convolutions of a basic block."""
        return self.widths or (self.planes // self.reduce_first, self.planes)

    @property
    def bottleneck_widths(self) -> Sequence[int]:
        """Output channels of the three convolutions of a bottleneck."""
        width = int(self.planes * (self.base_width / 64.0)) * self.groups
        return self.widths or (width // self.reduce_first, width, self.planes * self.expansion)

    def filter(self, y: Array) -> Array:
        """Return a map behind the low-pass filter where the block has one, as it is elsewhere."""
        if self.anti_alias is None or not self.filtered:
            return y
        return self.anti_alias(stride=self.stride, name="aa")(y)

    def drop(self, y: Array, train: bool) -> Array:
        """Return a map with dropout in training; the random numbers are those of `dropout`."""
        return nn.Dropout(self.dropout)(y, not train) if self.dropout else y

    def attend(self, y: Array) -> Array:
        """Return the residual branch behind the attention, if any."""
        if self.attention is None:
            return y
        channels = self.planes * self.expansion
        return self.attention(channels=channels, dtype=self.dtype, name="se")(y)

    def add_shortcut(
        self, y: Array, x: Array, train: bool, *, activated: Array | None = None
    ) -> Array:
        """Return the sum of the residual branch and the block's input.

        Args:
            y: output of the residual branch, `[batch, height', width', features]`; the features
                are `planes · expansion`, or the last of `widths`.
            x: input of the block, `[batch, height, width, in]`. It is added as it is where it has
                the shape of `y`, and otherwise passes through the shortcut.
            train: passed to the shortcut.
            activated: what passes through the shortcut instead of `x`, of the same shape: the
                activated input of a block that begins with an activation.
        """
        features = self.planes * self.expansion if self.widths is None else self.widths[-1]
        if self.stride == 1 and x.shape[-1] == features:
            return y + x
        out = self.dilation if self.out_dilation is None else self.out_dilation
        dilated: dict[str, Any] = {"dilation": self.dilation, "out_dilation": out}
        downsample = self.shortcut(
            features=features,
            stride=self.stride,
            norm_layer=self.norm_layer,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="downsample",
            **(dilated if out > 1 else {}),
        )
        return y + downsample(x if activated is None else activated, train)


def check_basic(block: ResidualBlock, other: str) -> None:
    """Raise for fields that blocks of two 3×3 convolutions do not have.

    Args:
        block: the block.
        other: name of the block that has them.

    Raises:
        ValueError: if `groups` is not 1 or `base_width` not 64.
        NotImplementedError: if `dilation` is above 1.
    """
    name = type(block).__name__
    if block.groups != 1 or block.base_width != 64:
        raise ValueError(
            f"{name} supports only `groups` (={block.groups}) = 1 and `width_per_group` "
            f"(={block.base_width}) = 64; use {other} for grouped or wide networks"
        )
    if block.dilation > 1:
        raise NotImplementedError(
            f"{name} does not support `dilation` (={block.dilation}) > 1; use {other}"
        )


def check_widths(block: ResidualBlock, widths: Sequence[int]) -> None:
    """Raise a `ValueError` unless the convolutions of a block have channels, `widths` of them."""
    if min(widths) < 1:
        raise ValueError(
            f"{type(block).__name__} has a convolution without channels, by `planes` "
            f"(={block.planes}), `width_per_group` (={block.base_width}) and `reduce_first` "
            f"(={block.reduce_first})"
        )


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions, the first one strided; the output has `planes` channels.

    Raises:
        ValueError: on construction, if `groups` is not 1 or `base_width` not 64, or if a
            convolution has no channels.
        NotImplementedError: on construction, if `dilation` is above 1.
    """

    expansion: ClassVar[int] = 1
    """Output channels, as a multiple of `planes`."""

    def __post_init__(self) -> None:
        check_basic(self, "Bottleneck")
        check_widths(self, self.basic_widths)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', planes]`."""
        first, features = self.basic_widths
        y = Conv(first, 3, self.conv_stride, dtype=self.dtype, name="conv1")(x)
        y = self.act(self.make_norm("bn1")(y, train))
        y = self.drop(self.filter(y), train)
        y = Conv(features, 3, dtype=self.dtype, name="conv2")(y)
        y = self.make_norm("bn2", last=True)(y, train)
        y = self.attend(y)
        return self.act(self.add_shortcut(y, x, train))


class Bottleneck(ResidualBlock):
    """1×1, 3×3 (strided, grouped, dilated) and 1×1 convolution; the output has 4 · `planes`.

    The inner width is `int(planes · base_width / 64) · groups`; the first convolution has that
    divided by `reduce_first`.

    Raises:
        ValueError: on construction, if a convolution has no channels.
    """

    expansion: ClassVar[int] = 4
    """Output channels, as a multiple of `planes`."""

    def __post_init__(self) -> None:
        check_widths(self, self.bottleneck_widths)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', 4 · planes]`."""
        first, width, features = self.bottleneck_widths
        y = Conv(first, 1, dtype=self.dtype, name="conv1")(x)
        y = self.act(self.make_norm("bn1")(y, train))
        y = self.make_inner_conv(width)(y)
        y = self.act(self.make_norm("bn2")(y, train))
        y = self.drop(self.filter(y), train)
        y = Conv(features, 1, dtype=self.dtype, name="conv3")(y)
        y = self.make_norm("bn3", last=True)(y, train)
        y = self.attend(y)
        return self.act(self.add_shortcut(y, x, train))
