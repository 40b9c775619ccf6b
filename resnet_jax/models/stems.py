"""Stems: from the images to the input of the first stage, and the table of their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from ..ops import max_pool
from .layers import BatchNorm, Conv, NormLayer


class Stem(Protocol):
    """What `ResNet.stem` may be besides a name: a class or partial that makes a linen module.

    The module is called as `stem(x, train)` with images `[batch, height, width, channels]` and
    returns the map that the first stage reads. It has no level of its own among the variables:
    its submodule `conv1` is `params/conv1`. The first kernel that it makes is the one that is
    applied to the image: the torch weights read the image's channels from it.
    """

    def __call__(
        self,
        *,
        planes: int,
        norm_layer: NormLayer,
        dtype: DTypeLike | None,
        axis_name: str | None,
    ) -> nn.Module:
        """Make the module.

        Args:
            planes: `ResNet.base_planes`, the usual number of output channels.
            norm_layer: makes the normalisations.
            dtype: dtype of the computation; None takes the input's.
            axis_name: passed to the normalisations.
        """


class ConvStem(nn.Module):
    """One convolution, normalisation and ReLU, and a 3×3 max-pool of stride 2.

    Attributes:
        planes: output channels.
        kernel_size: side of the convolution's kernel, in pixels.
        stride: stride of the convolution.
        pool: whether the max-pool follows.
        norm_layer: makes the normalisation.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisation.
    """

    planes: int
    kernel_size: int = 7
    stride: int = 2
    pool: bool = True
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, height', width', planes]`."""
        x = Conv(self.planes, self.kernel_size, self.stride, dtype=self.dtype, name="conv1")(x)
        norm = self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name="bn1"
        )
        x = nn.relu(norm(x, train))
        return max_pool(x, window=3, stride=2, padding=1) if self.pool else x


STEMS: Mapping[str, Stem] = MappingProxyType(
    {
        "imagenet": ConvStem,
        "cifar": partial(ConvStem, kernel_size=3, stride=1, pool=False),
    }
)
"""Every stem that `ResNet.stem` knows by name."""
