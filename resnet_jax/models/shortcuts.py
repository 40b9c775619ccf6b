"""Shortcuts: what the input of a block passes through where the block changes its shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from .anti_alias import mean_of_windows
from .layers import BatchNorm, Conv, NormLayer


class Shortcut(Protocol):
    """What the `shortcut` of a block may be: a class or partial that makes a linen module.

    The module is called as `shortcut(x, train)` and returns the map that is added to the residual
    branch. A block makes it under the name `downsample`, and only where its output has another
    resolution or other channels than its input.

    In a network that dilates it also has the keywords `dilation`, that of the block, and
    `out_dilation`, that of the blocks that follow, which is higher where the stage dilates instead
    of striding.
    """

    def __call__(
        self,
        *,
        features: int,
        stride: int,
        norm_layer: NormLayer,
        dtype: DTypeLike | None,
        axis_name: str | None,
        name: str | None = None,
    ) -> nn.Module:
        """Make the module.

        Args:
            features: output channels.
            stride: factor by which the map shrinks.
            norm_layer: makes the normalisations.
            dtype: dtype of the computation; None takes the input's.
            axis_name: passed to the normalisations.
            name: name of the module within the block.
        """


class ShortcutModule(nn.Module):
    """The fields of the shortcuts here; not every one of them uses all.

    Attributes:
        features: output channels.
        stride: factor by which the map shrinks.
        norm_layer: makes the normalisation.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisation.
        dilation: dilation of a kernel above 1×1.
        out_dilation: dilation of the blocks that follow.
    """

    features: int
    stride: int = 1
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None
    dilation: int = 1
    out_dilation: int = 1

    def make_norm(self, name: str) -> Any:
        """Make the normalisation.

        Args:
            name: name of the module.
        """
        return self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name=name
        )


class Downsample(ShortcutModule):
    """The projection shortcut: a 1×1 convolution, then normalisation.

    Attributes:
        features: output channels.
        stride: stride of the convolution.
        norm_layer: makes the normalisation.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisation.
        dilation: dilation of a kernel above 1×1.
        out_dilation: dilation of the blocks that follow.
        kernel_size: side of the kernel where the block strides or dilates; elsewhere it is 1.
    """

    kernel_size: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`."""
        size = self.kernel_size if self.stride > 1 or self.out_dilation > 1 else 1
        dilation = self.dilation if size > 1 else 1
        conv = Conv(self.features, size, self.stride, dilation, dtype=self.dtype, name="conv")
        return self.make_norm("bn")(conv(x), train)


class AverageDownsample(ShortcutModule):
    """The shortcut of ResNet-D: mean of 2×2 pixels, 1×1 convolution of stride 1, normalisation.

    No pixel of the input is left out: at the end of an odd side the mean is that of the pixels
    there are. Where the stage dilates instead of striding, the windows lie at distance 1 and those
    at the end reach over zeros. A block that neither strides nor dilates has the convolution and
    the normalisation alone.

    Attributes:
        features: output channels.
        stride: 1 or 2, distance of the windows.
        norm_layer: makes the normalisation.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisation.
        dilation: accepted without effect.
        out_dilation: dilation of the blocks that follow.

    References:
        He et al. 2018, https://arxiv.org/abs/1812.01187
    """

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`."""
        if self.stride > 1:
            # The mean over a pixel and its copy is the pixel.
            odd = [(0, size % 2) for size in x.shape[1:3]]
            x = mean_of_windows(jnp.pad(x, ((0, 0), *odd, (0, 0)), mode="edge"), 2, self.stride)
        elif self.out_dilation > 1:
            x = mean_of_windows(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), 2, 1)
        # The names are the places in torch's sequence, of which the pool is the first.
        x = Conv(self.features, 1, dtype=self.dtype, name="1")(x)
        return self.make_norm("2")(x, train)


class ConvDownsample(ShortcutModule):
    """A 1×1 convolution without normalisation, the projection of pre-activated blocks.

    Attributes:
        features: output channels.
        stride: stride of the convolution.
        norm_layer: accepted without effect.
        dtype: dtype of the computation; None takes the input's.
        axis_name: accepted without effect.
        dilation: accepted without effect.
        out_dilation: accepted without effect.

    References:
        He et al. 2016, https://arxiv.org/abs/1603.05027
    """

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`."""
        return Conv(self.features, 1, self.stride, dtype=self.dtype, name="conv")(x)


class PadDownsample(ShortcutModule):
    """The shortcut without parameters: every `stride`-th pixel, and zeros in the new channels.

    Half of the new channels lie before those of the input and half after them; of an odd number
    the last one is after them.

    Attributes:
        features: output channels.
        stride: distance of the pixels that are kept.
        norm_layer: accepted without effect.
        dtype: dtype of the output; None takes the input's.
        axis_name: accepted without effect.
        dilation: accepted without effect.
        out_dilation: accepted without effect.

    References:
        He et al. 2015, https://arxiv.org/abs/1512.03385 (option A)
    """

    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`.

        Raises:
            ValueError: if there are more input than output channels.
        """
        more = self.features - x.shape[-1]
        if more < 0:
            raise ValueError(
                f"the shortcut 'pad' adds channels, but the block has {self.features} of them and "
                f"its input {x.shape[-1]}; use another `shortcut`, such as 'projection'"
            )
        x = x[:, :: self.stride, :: self.stride].astype(self.dtype or x.dtype)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))


SHORTCUTS: Mapping[str, Shortcut] = MappingProxyType(
    {
        "projection": Downsample,
        "average": AverageDownsample,
        "conv": ConvDownsample,
        "pad": PadDownsample,
    }
)
"""Every shortcut that `ResNet.shortcut` knows by name."""
