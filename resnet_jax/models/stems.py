"""Stems: from the images to the input of the first stage, and the table of their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol

from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from ..ops import Pool, max_pool
from .anti_alias import AntiAlias, mean_of_windows
from .layers import Activation, BatchNorm, Conv, NormLayer

POOLS = ("max", "average", "conv", None)


class Stem(Protocol):
    """What `ResNet.stem` may be besides a name: a class or partial that makes a linen module.

    The module is called as `stem(x, train)` with images `[batch, height, width, channels]` and
    returns the map that the first stage reads. It has no level of its own among the variables:
    its submodule `conv1` is `params/conv1`. The first kernel that it makes is the one that is
    applied to the image: the torch weights read the image's channels from it.

    A network with the options `act` or `anti_alias` passes them on, too.
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
            planes: planes of the network's first stage, the usual number of output channels.
            norm_layer: makes the normalisations.
            dtype: dtype of the computation; None takes the input's.
            axis_name: passed to the normalisations.
        """


class PooledStem(nn.Module):
    """Base class of the stems: their fields, their normalisations, and the pool at their end.

    A subclass makes its convolutions in a compact `__call__` and returns `finish` of the last one.

    Attributes:
        planes: planes of the network's first stage.
        width: channels of the convolutions; None follows from `planes`.
        pool: what halves the map at the end: `"max"`, a 3×3 max-pool (with `anti_alias` of stride
            1, followed by the filter); `"average"`, the mean of 2×2 pixels; `"conv"`, a 3×3
            convolution (with `anti_alias` of stride 1, followed by the filter), normalisation and
            activation; or None for nothing.
        norm_layer: makes the normalisations.
        dtype: dtype of the computation; None takes the input's.
        axis_name: passed to the normalisations.
        act: the activation.
        anti_alias: makes the low-pass filter of the pool; None has none.

    Raises:
        ValueError: on construction, for another `pool`.
    """

    planes: int
    width: int | None = None
    pool: str | None = "max"
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None
    act: Activation = nn.relu
    anti_alias: AntiAlias | None = None

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise ValueError(
                f"`pool` (={self.pool!r}) must be one of {', '.join(map(repr, POOLS))}"
            )
        super().__post_init__()

    def norm(self, name: str, x: Array, train: bool, *, pool: Pool | None = None) -> Array:
        """Return the activation of the normalised map, under the name of the normalisation.

        Args:
            name: name of the normalisation.
            x: the map.
            train: passed to the normalisation.
            pool: windows of a max-pool over the activation; None has none.
        """
        norm = self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name=name
        )
        if train and pool is not None and type(norm) is BatchNorm and self.act is nn.relu:
            # In one operation, which may take the maxima first and normalise those alone.
            return norm(x, train, relu_pool=pool)
        x = self.act(norm(x, train))
        return x if pool is None else max_pool(x, *pool)

    def finish(self, x: Array, train: bool) -> Array:
        """Normalise the last convolution's map as `bn1`, activate it and pool it."""
        filtered = self.anti_alias is not None
        stride = 1 if filtered else 2
        windows = Pool(3, stride, 1) if self.pool == "max" else None
        x = self.norm("bn1", x, train, pool=windows)
        if self.pool == "average":
            return mean_of_windows(x, 2, 2)
        if self.pool == "conv":
            x = Conv(x.shape[-1], 3, stride, dtype=self.dtype, name="maxpool_0")(x)
        if self.pool is not None and self.anti_alias is not None:
            x = self.anti_alias(stride=2, name="maxpool_1")(x)
        if self.pool == "conv":
            x = self.norm("maxpool_2" if filtered else "maxpool_1", x, train)
        return x


class ConvStem(PooledStem):
    """One convolution, normalisation and activation, and a pool.

    Attributes:
        kernel_size: side of the convolution's kernel, in pixels.
        stride: stride of the convolution.
        width: output channels; None is `planes`.
        planes, pool, norm_layer, dtype, axis_name, act, anti_alias: see `PooledStem`.
    """

    kernel_size: int = 7
    stride: int = 2

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, height', width', width]`."""
        width = self.planes if self.width is None else self.width
        x = Conv(width, self.kernel_size, self.stride, dtype=self.dtype, name="conv1")(x)
        return self.finish(x, train)


class DeepStem(PooledStem):
    """Three 3×3 convolutions, the first of stride 2, instead of the 7×7 one, and a pool.

    The convolutions have `width`, `width` and 2 · `width` channels, tiered 3 / 4 · `width`,
    `width` and 2 · `width`; each is followed by normalisation and activation.

    Attributes:
        width: half the output channels; None is half of `planes`.
        tiered: whether the first convolution has fewer channels.
        planes, pool, norm_layer, dtype, axis_name, act, anti_alias: see `PooledStem`.

    Raises:
        ValueError: on construction, if a convolution would have no channels.

    References:
        He et al. 2018, https://arxiv.org/abs/1812.01187 (ResNet-C)
    """

    tiered: bool = False

    def __post_init__(self) -> None:
        if min(self.widths) < 1:
            raise ValueError(
                f"`width` (={self.width}) and `planes` (={self.planes}) give convolutions of "
                f"{', '.join(map(str, self.widths))} channels; all must have at least 1"
            )
        super().__post_init__()

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels of the three convolutions."""
        width = self.planes // 2 if self.width is None else self.width
        return 3 * (width // 4) if self.tiered else width, width, 2 * width

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, height', width', 2 · width]`."""
        # The names are the places in torch's sequence, between which the activations lie.
        first, second, third = self.widths
        x = Conv(first, 3, 2, dtype=self.dtype, name="conv1_0")(x)
        x = self.norm("conv1_1", x, train)
        x = Conv(second, 3, dtype=self.dtype, name="conv1_3")(x)
        x = self.norm("conv1_4", x, train)
        x = Conv(third, 3, dtype=self.dtype, name="conv1_6")(x)
        return self.finish(x, train)


class PreactivationStem(nn.Module):
    """One convolution alone: the blocks that follow begin with normalisation and activation.

    Attributes:
        planes: planes of the network's first stage.
        width: output channels; None is `planes`.
        kernel_size: side of the convolution's kernel, in pixels.
        stride: stride of the convolution.
        norm_layer: accepted without effect.
        dtype: dtype of the computation; None takes the input's.
        axis_name: accepted without effect.
        act: accepted without effect.
        anti_alias: accepted without effect, as the stem has no pool.
    """

    planes: int
    width: int | None = None
    kernel_size: int = 3
    stride: int = 1
    norm_layer: NormLayer = BatchNorm
    dtype: DTypeLike | None = None
    axis_name: str | None = None
    act: Activation = nn.relu
    anti_alias: AntiAlias | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Map `[batch, height, width, channels]` to `[batch, height', width', width]`."""
        width = self.planes if self.width is None else self.width
        return Conv(width, self.kernel_size, self.stride, dtype=self.dtype, name="conv1")(x)


STEMS: Mapping[str, Stem] = MappingProxyType(
    {
        "imagenet": ConvStem,
        "cifar": partial(ConvStem, kernel_size=3, stride=1, pool=None),
        "deep": DeepStem,
        "deep_tiered": partial(DeepStem, tiered=True),
        "cifar_preact": PreactivationStem,
    }
)
"""Every stem that `ResNet.stem` knows by name."""
