"""The two residual blocks, and the projection shortcut.

References:
    He et al. 2015, https://arxiv.org/abs/1512.03385 (both blocks); Xie et al. 2016,
    https://arxiv.org/abs/1611.05431 (grouped); the layouts are torchvision's, where the stride of
    a bottleneck sits on its 3×3 convolution ("ResNet v1.5").
"""

from __future__ import annotations

from typing import ClassVar

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from .layers import BatchNorm, Conv, Initializer, NormLayer


class Downsample(nn.Module):
    """The projection shortcut: 1×1 convolution, then normalisation.

    Attributes:
        features: output channels.
        stride: of the convolution.
        norm_layer: makes the normalisation.
        dtype: in which to compute.
        axis_name: passed to the normalisation.
    """

    features: int
    stride: int = 1
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps ``[batch, height, width, in]`` to ``[batch, height', width', features]``."""
        x = Conv(self.features, 1, self.stride, dtype=self.dtype, name="conv")(x)
        norm = self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name="bn"
        )
        return norm(x, train)


class _Block(nn.Module):
    """What both blocks share: their options and the shortcut."""

    expansion: ClassVar[int]
    """Output channels, as a multiple of ``planes``."""

    planes: int
    """The block's nominal width."""
    stride: int = 1
    """Of its strided convolution."""
    groups: int = 1
    """Of its 3×3 convolution."""
    base_width: int = 64
    """Channels a group at 64 planes."""
    dilation: int = 1
    """Of its 3×3 convolution."""
    zero_init_residual: bool = False
    """Start the last normalisation's scale at zero."""
    norm_layer: NormLayer = BatchNorm
    """Makes the normalisations."""
    dtype: DTypeLike | None = None
    """In which to compute; None takes the input's."""
    axis_name: str | None = None
    """Passed to the normalisations."""

    def _norm(self, name: str, *, last: bool = False) -> nn.Module:
        zero = last and self.zero_init_residual
        scale_init: Initializer = nn.initializers.zeros if zero else nn.initializers.ones
        return self.norm_layer(
            scale_init=scale_init, dtype=self.dtype, axis_name=self.axis_name, name=name
        )

    def _shortcut(self, x: Array, train: bool) -> Array:
        features = self.planes * self.expansion
        if self.stride == 1 and x.shape[-1] == features:
            return x
        downsample = Downsample(
            features, self.stride, self.norm_layer, self.dtype, self.axis_name, name="downsample"
        )
        return downsample(x, train)


class BasicBlock(_Block):
    """Two 3×3 convolutions, the first one strided; the output has ``planes`` channels.

    Raises:
        ValueError: where ``groups`` is not 1 or ``base_width`` not 64.
        NotImplementedError: where ``dilation`` is above 1.
    """

    expansion: ClassVar[int] = 1
    """Output channels, as a multiple of ``planes``."""

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
        """Maps ``[batch, height, width, in]`` to ``[batch, height', width', planes]``."""
        shortcut = self._shortcut(x, train)
        y = Conv(self.planes, 3, self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(self._norm("bn1")(y, train))
        y = Conv(self.planes, 3, dtype=self.dtype, name="conv2")(y)
        y = self._norm("bn2", last=True)(y, train)
        return nn.relu(y + shortcut)


class Bottleneck(_Block):
    """1×1, 3×3 (strided, grouped, dilated) and 1×1 convolution; the output has 4 · ``planes``.

    The inner width is ``int(planes · base_width / 64) · groups``.
    """

    expansion: ClassVar[int] = 4
    """Output channels, as a multiple of ``planes``."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps ``[batch, height, width, in]`` to ``[batch, height', width', 4 · planes]``."""
        shortcut = self._shortcut(x, train)
        width = int(self.planes * (self.base_width / 64.0)) * self.groups
        y = Conv(width, 1, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(self._norm("bn1")(y, train))
        y = Conv(width, 3, self.stride, self.dilation, self.groups, dtype=self.dtype, name="conv2")(
            y
        )
        y = nn.relu(self._norm("bn2")(y, train))
        y = Conv(self.planes * self.expansion, 1, dtype=self.dtype, name="conv3")(y)
        y = self._norm("bn3", last=True)(y, train)
        return nn.relu(y + shortcut)
