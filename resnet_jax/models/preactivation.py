"""The residual blocks that begin with normalisation and activation.

References:
    He et al. 2016, https://arxiv.org/abs/1603.05027; Zagoruyko and Komodakis 2016,
    https://arxiv.org/abs/1605.07146 (wide).
"""

from __future__ import annotations

from typing import ClassVar

from flax import linen as nn
from jax import Array

from .blocks import ResidualBlock, check_basic, check_widths
from .layers import Conv, Initializer, kaiming_normal_fan_out
from .shortcuts import ConvDownsample, Shortcut


class PreactivationBlock(ResidualBlock):
    """Base class of the pre-activated blocks: their shortcut and the start of their branch.

    The block's input is added as it is where the block keeps its shape; elsewhere the shortcut
    starts, as the residual branch does, from the activated input.
    """

    shortcut: Shortcut = ConvDownsample
    """Makes the shortcut where the block changes the shape."""

    @property
    def last_kernel_init(self) -> Initializer:
        """The initialiser of the last kernel, the one that `zero_init_residual` sets to zero.

        With a scale of zero instead, ReLU would pass no gradient to the branch.
        """
        return nn.initializers.zeros if self.zero_init_residual else kaiming_normal_fan_out


class PreactivationBasicBlock(PreactivationBlock):
    """Two 3×3 convolutions, the first one strided; the output has `planes` channels.

    Raises:
        ValueError: on construction, if `groups` is not 1 or `base_width` not 64, or if a
            convolution has no channels.
        NotImplementedError: on construction, if `dilation` is above 1.
    """

    expansion: ClassVar[int] = 1
    """Output channels, as a multiple of `planes`."""

    def __post_init__(self) -> None:
        check_basic(self, "PreactivationBottleneck")
        check_widths(self, self.basic_widths)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', planes]`."""
        first, features = self.basic_widths
        activated = self.act(self.make_norm("bn1")(x, train))
        y = Conv(first, 3, self.conv_stride, dtype=self.dtype, name="conv1")(activated)
        y = self.act(self.make_norm("bn2")(y, train))
        y = self.drop(self.filter(y), train)
        y = Conv(features, 3, dtype=self.dtype, kernel_init=self.last_kernel_init, name="conv2")(y)
        y = self.attend(y)
        return self.add_shortcut(y, x, train, activated=activated)


class PreactivationBottleneck(PreactivationBlock):
    """1×1, 3×3 (strided, grouped, dilated) and 1×1 convolution; the output has 4 · `planes`.

    The widths are those of `Bottleneck`.

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
        activated = self.act(self.make_norm("bn1")(x, train))
        y = Conv(first, 1, dtype=self.dtype, name="conv1")(activated)
        y = self.act(self.make_norm("bn2")(y, train))
        y = self.make_inner_conv(width)(y)
        y = self.act(self.make_norm("bn3")(y, train))
        y = self.drop(self.filter(y), train)
        y = Conv(features, 1, dtype=self.dtype, kernel_init=self.last_kernel_init, name="conv3")(y)
        y = self.attend(y)
        return self.add_shortcut(y, x, train, activated=activated)
