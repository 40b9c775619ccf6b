"""Channel attention: gates that scale the channels of a residual branch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from ..ops.dtypes import float32_or_wider
from .layers import kaiming_normal_fan_out, torch_linear_uniform


class Attention(Protocol):
    """What the `attention` of a block may be: a class or partial that makes a linen module.

    The module is called as `attention(y)` with the residual branch `[batch, height, width,
    channels]`, after its last normalisation, and returns the branch that is added to the
    shortcut. A block makes it under the name `se`.
    """

    def __call__(
        self, *, channels: int, dtype: DTypeLike | None, name: str | None = None
    ) -> nn.Module:
        """Make the module.

        Args:
            channels: nominal channels of the branch, `planes · expansion`.
            dtype: dtype of the computation; None takes the input's.
            name: name of the module within the block.
        """


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate of all channels' means.

    With s the mean over space, the output is x · σ(W₂ · relu(W₁ · s + b₁) + b₂), where W₁ has
    `ratio · channels` outputs, rounded to a multiple of `divisor`.

    Attributes:
        channels: nominal channels, of which the inner width is a share.
        ratio: inner width as a fraction of `channels`.
        divisor: the inner width is the multiple of it that is nearest, and at least one.
        dtype: dtype of the gate; None takes the input's.

    References:
        Hu et al. 2017, https://arxiv.org/abs/1709.01507
    """

    channels: int
    ratio: float = 1 / 16
    divisor: int = 8
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[batch, height, width, channels]` to the same shape."""
        multiple = int(self.channels * self.ratio + self.divisor / 2) // self.divisor
        inner = max(1, multiple) * self.divisor
        dtype = x.dtype if self.dtype is None else self.dtype
        gate = nn.relu(_PointwiseConv(inner, dtype, name="fc1")(_means(x)))
        gate = nn.sigmoid(_PointwiseConv(x.shape[-1], dtype, name="fc2")(gate))
        return x * gate[:, None, None, :]


class EfficientChannelAttention(nn.Module):
    """Scale each channel by a gate of the means of its neighbours.

    With s the mean over space, the output is x · σ(w ∗ s), where w has k taps along the channels
    and k is the odd number that belongs to |log₂(channels) + b| / γ, at least 3.

    Attributes:
        channels: nominal channels, from which k follows.
        gamma: γ of the rule.
        offset: b of the rule.
        dtype: dtype of the gate; None takes the input's.

    References:
        Wang et al. 2019, https://arxiv.org/abs/1910.03151
    """

    channels: int
    gamma: float = 2.0
    offset: float = 1.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[batch, height, width, channels]` to the same shape."""
        size = int(abs(math.log2(self.channels) + self.offset) / self.gamma)
        size = max(size if size % 2 else size + 1, 3)
        taps = _ChannelTaps(size, name="conv")()
        dtype = x.dtype if self.dtype is None else self.dtype
        means, taps = nn.dtypes.promote_dtype(_means(x), taps, dtype=dtype)
        means = jnp.pad(means, ((0, 0), (size // 2, size // 2)))
        shifted = [means[:, tap : tap + x.shape[-1]] for tap in range(size)]
        gate = jnp.einsum("k,kbc->bc", taps, jnp.stack(shifted))
        return x * nn.sigmoid(gate)[:, None, None, :]


class _PointwiseConv(nn.Module):
    """1×1 convolution with a bias over maps of one pixel; the bias is initialised as torch's.

    Attributes:
        features: output channels.
        dtype: dtype of the computation.
    """

    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[batch, in]` to `[batch, features]`."""
        inputs = x.shape[-1]
        shape = (1, 1, inputs, self.features)
        kernel = self.param("kernel", kaiming_normal_fan_out, shape, jnp.float32)
        init = torch_linear_uniform(inputs)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x @ kernel[0, 0] + bias[None, :]


class _ChannelTaps(nn.Module):
    """The kernel of a 1-D convolution from one channel to one, initialised as torch's.

    Attributes:
        size: number of taps.
    """

    size: int

    @nn.compact
    def __call__(self) -> Array:
        """Return the taps, `[size]`."""
        init = torch_linear_uniform(self.size)
        return self.param("kernel", init, (self.size, 1, 1), jnp.float32)[:, 0, 0]


def _means(x: Array) -> Array:
    return x.mean((1, 2), dtype=float32_or_wider(x.dtype))


ATTENTIONS: Mapping[str, Attention] = MappingProxyType(
    {"se": SqueezeExcite, "eca": EfficientChannelAttention}
)
"""Every attention that `ResNet.attention` knows by name."""
