"""The residual blocks, and the interface that a block of one's own has.

References:
    He et al. 2015, https://arxiv.org/abs/1512.03385 (both blocks); Xie et al. 2016,
    https://arxiv.org/abs/1611.05431 (grouped). The layouts are torchvision's, where the stride of
    a bottleneck sits on its 3×3 convolution ("ResNet v1.5").
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from .layers import BatchNorm, Conv, Initializer, NormLayer
from .shortcuts import Downsample, Shortcut


class Block(Protocol):
    """What `ResNet.block` may be: a linen module class with these fields.

    The module is called as `block(x, train)`, maps `[batch, height, width, in]` to
    `[batch, height / stride, width / stride, planes · expansion]` and raises on construction for
    a field that it does not support. `ResidualBlock` is a base class with the fields.
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
    state dict has its layers in the order in which it makes them.

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
    """Whether the scale of the last normalisation starts at zero."""
    norm_layer: NormLayer = BatchNorm
    """Makes the normalisations."""
    dtype: DTypeLike | None = None
    """Dtype of the computation; None takes the input's."""
    axis_name: str | None = None
    """Passed to the normalisations."""
    shortcut: Shortcut = Downsample
    """Makes the shortcut where the block changes the shape."""

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

    def add_shortcut(self, y: Array, x: Array, train: bool) -> Array:
        """Return the sum of the residual branch and the block's input.

        Args:
            y: output of the residual branch, `[batch, height', width', planes · expansion]`.
            x: input of the block, `[batch, height, width, in]`. It is added as it is where it has
                the shape of `y`, and otherwise passes through the shortcut.
            train: passed to the shortcut.
        """
        features = self.planes * self.expansion
        if self.stride == 1 and x.shape[-1] == features:
            return y + x
        downsample = self.shortcut(
            features=features,
            stride=self.stride,
            norm_layer=self.norm_layer,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="downsample",
        )
        return y + downsample(x, train)


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions, the first one strided; the output has `planes` channels.

    Raises:
        ValueError: on construction, if `groups` is not 1 or `base_width` not 64.
        NotImplementedError: on construction, if `dilation` is above 1.
    """

    expansion: ClassVar[int] = 1
    """Output channels, as a multiple of `planes`."""

    def __post_init__(self) -> None:
        if self.groups != 1 or self.base_width != 64:
            raise ValueError(
                f"BasicBlock supports only `groups` (={self.groups}) = 1 and `width_per_group` "
                f"(={self.base_width}) = 64; use Bottleneck for grouped or wide networks"
            )
        if self.dilation > 1:
            raise NotImplementedError(
                f"BasicBlock does not support `dilation` (={self.dilation}) > 1; use Bottleneck"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', planes]`."""
        y = Conv(self.planes, 3, self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(self.make_norm("bn1")(y, train))
        y = Conv(self.planes, 3, dtype=self.dtype, name="conv2")(y)
        y = self.make_norm("bn2", last=True)(y, train)
        return nn.relu(self.add_shortcut(y, x, train))


class Bottleneck(ResidualBlock):
    """1×1, 3×3 (strided, grouped, dilated) and 1×1 convolution; the output has 4 · `planes`.

    The inner width is `int(planes · base_width / 64) · groups`.
    """

    expansion: ClassVar[int] = 4
    """Output channels, as a multiple of `planes`."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', 4 · planes]`."""
        width = int(self.planes * (self.base_width / 64.0)) * self.groups
        y = Conv(width, 1, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(self.make_norm("bn1")(y, train))
        y = Conv(width, 3, self.stride, self.dilation, self.groups, dtype=self.dtype, name="conv2")(
            y
        )
        y = nn.relu(self.make_norm("bn2")(y, train))
        y = Conv(self.planes * self.expansion, 1, dtype=self.dtype, name="conv3")(y)
        y = self.make_norm("bn3", last=True)(y, train)
        return nn.relu(self.add_shortcut(y, x, train))
