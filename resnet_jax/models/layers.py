"""The layers that the ResNets are made of: convolution, normalisation, dense layer, initialisers.

Every layer computes in `dtype` and keeps its parameters and statistics in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.typing import DTypeLike

from ..ops import Pool, batch_norm_train, conv2d, max_pool
from ..ops.dtypes import float32_or_wider, wider

Initializer = Callable[..., Array]
Activation = Callable[[Array], Array]


def kaiming_normal_fan_out(
    key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Draw a kernel from a normal distribution with standard deviation √(2 / fan_out).

    Here fan_out = kernel_h · kernel_w · out, as in torch's `kaiming_normal_(mode="fan_out",
    nonlinearity="relu")`, which counts all output channels of a grouped convolution, too.

    Args:
        key: from `jax.random.key`.
        shape: `[kernel_h, kernel_w, in / groups, out]`.
        dtype: dtype of the kernel.

    References:
        He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    fan_out = shape[0] * shape[1] * shape[3]
    # The numbers of a matrix or a list are the same; XLA compiles those of a list much faster.
    numbers = jax.random.normal(key, (math.prod(shape),), dtype)
    return (numbers * (2 / fan_out) ** 0.5).reshape(shape)


def torch_linear_uniform(fan_in: int) -> Initializer:
    """Return the initialiser of weight and bias in `torch.nn.Linear`: uniform in ±1/√fan_in.

    Args:
        fan_in: size of the layer's input.
    """
    bound = fan_in**-0.5

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        numbers = jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound)
        return numbers.reshape(shape)

    return init


class Conv(nn.Module):
    """2-D convolution without bias, padded explicitly as torch pads.

    `SAME` padding differs from torch's where the stride is above 1, so the padding is a number
    here: `dilation · (kernel_size - 1) / 2` on each side, the "same size" rule for stride 1.

    Attributes:
        features: output channels.
        kernel_size: side of the square, odd kernel.
        stride: stride in both directions.
        dilation: spacing of the kernel's taps.
        groups: channel groups; must divide the input's and the output's channels.
        dtype: dtype of the computation; None takes the input's.
        kernel_init: initialiser of the kernel.
    """

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    dtype: DTypeLike | None = None
    kernel_init: Initializer = kaiming_normal_fan_out

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[batch, height, width, in]` to `[batch, height', width', features]`.

        Raises:
            ValueError: if `groups` does not divide the channels, or the input does not have the
                channels that the kernel was made for.
        """
        channels = x.shape[-1]
        if channels % self.groups or self.features % self.groups:
            raise ValueError(
                f"`groups` (={self.groups}) must divide the input channels (={channels}) and "
                f"`features` (={self.features})"
            )
        if self.has_variable("params", "kernel"):
            expected = self.get_variable("params", "kernel").shape[2] * self.groups
            if channels != expected:
                raise ValueError(
                    f"the input has {channels} channels in its last axis, but the parameters of "
                    f"`{self.name}` were made for {expected} (layout [batch, height, width, "
                    "channels])"
                )
        size = self.kernel_size
        shape = (size, size, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        padding = self.dilation * (size - 1) // 2
        return conv2d(
            x,
            kernel,
            stride=(self.stride, self.stride),
            padding=(padding, padding),
            dilation=(self.dilation, self.dilation),
            groups=self.groups,
        )


class BatchNorm(nn.Module):
    """Batch normalisation over batch, height and width, with torch's running statistics.

    In training it normalises with the batch's mean and *biased* variance, and updates the running
    mean and the running *unbiased* variance (n / (n - 1) times the biased one), as
    `torch.nn.BatchNorm2d` does; Flax's own BatchNorm stores the biased one. In evaluation it
    normalises with the running statistics.

    Attributes:
        decay: weight of the old running statistics, 1 - torch's `momentum`.
        epsilon: added to the variance.
        axis_name: the mapped axis (`pmap`, `shard_map`) over which the statistics are
            shared; None leaves them per device. Under `jit` with a sharded batch they are
            global by themselves.
        dtype: dtype of the output; None takes the input's. Statistics are float32 at least.
        scale_init: initialiser of the scale.

    References:
        Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167;
        https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """

    decay: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: DTypeLike | None = None
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool = False, *, relu_pool: Pool | None = None) -> Array:
        """Normalise `[batch, height, width, channels]`.

        Args:
            x: the map.
            train: whether to normalise with the batch's statistics, and update the running ones.
            relu_pool: windows of a max-pool that follows a ReLU; None leaves out both.

        Raises:
            ValueError: in training, if there is only one value per channel, which has no unbiased
                variance.
        """
        channels = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)

        dtype = x.dtype if self.dtype is None else jnp.dtype(self.dtype)
        if train and not self.is_initializing():
            count = x.size // x.shape[-1]
            if self.axis_name is not None:
                count *= lax.axis_size(self.axis_name)
            if count < 2:
                raise ValueError(
                    f"training needs more than 1 value per channel, got input shape {x.shape}; "
                    "use a larger batch or image, or train=False"
                )
            y, mean, var = batch_norm_train(
                x.astype(wider(x.dtype, dtype)),
                scale,
                bias,
                shift=running_mean.value,
                epsilon=self.epsilon,
                axis_name=self.axis_name,
                relu_pool=relu_pool,
            )
            unbiased = var * (count / (count - 1))
            running_mean.value = _blend(running_mean.value, mean, self.decay)
            running_var.value = _blend(running_var.value, unbiased, self.decay)
            return y.astype(dtype)
        x = x.astype(float32_or_wider(x.dtype))
        factor = scale * lax.rsqrt(running_var.value + self.epsilon)
        mean, factor, bias = (
            values.reshape((1,) * (x.ndim - 1) + channels)
            for values in (running_mean.value, factor, bias)
        )
        y = ((x - mean) * factor + bias).astype(dtype)
        return y if relu_pool is None else max_pool(nn.relu(y), *relu_pool)


# Under `jit`, so that layers of one width are traced once.
@partial(jax.jit, static_argnums=2)
def _blend(old: Array, new: Array, decay: float) -> Array:
    return decay * old + (1.0 - decay) * new.astype(old.dtype)


class GroupNorm(nn.Module):
    """Group normalisation with the interface of `NormLayer`.

    Attributes:
        num_groups: groups of channels; must divide the channels.
        epsilon: added to the variance.
        dtype: dtype of the output; None takes the input's.
        scale_init: initialiser of the scale.
        axis_name: accepted without effect, as the statistics are those of a single example.

    References:
        Wu and He 2018, https://arxiv.org/abs/1803.08494
    """

    num_groups: int = 32
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None
    scale_init: Initializer = nn.initializers.ones
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Normalise `[batch, height, width, channels]`; `train` makes no difference."""
        del train
        norm = nn.GroupNorm(
            self.num_groups, epsilon=self.epsilon, dtype=self.dtype, scale_init=self.scale_init
        )
        return norm(x)


class NormLayer(Protocol):
    """What `ResNet.norm_layer` may be: a class or partial that makes a normalising module.

    The module is called as `norm(x, train)` and initialises its scale with `scale_init`.
    """

    def __call__(
        self,
        *,
        scale_init: Initializer,
        dtype: DTypeLike | None,
        axis_name: str | None,
        name: str | None = None,
    ) -> Any:
        """Make the module."""


class Dense(nn.Module):
    """Dense layer initialised as `torch.nn.Linear`.

    Attributes:
        features: size of the output.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map `[batch, in]` to `[batch, features]`."""
        init = torch_linear_uniform(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
        return x @ kernel + bias[None, :]
