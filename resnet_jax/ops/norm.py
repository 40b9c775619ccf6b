"""Batch normalisation with the statistics of the batch, and its gradient in two passes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from .window import varying

Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def batch_norm_train(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise each channel by the mean and variance of the batch.

    `(x - mean) / sqrt(var + epsilon) * scale + bias`. Automatic differentiation of the formula
    sweeps over the activations several times more than the rule here, which reads them twice:
    for the two sums it needs, and to write the result.

    Args:
        x: Activations `[..., channels]`.
        scale: `[channels]`.
        bias: `[channels]`.
        epsilon: Added to the variance.
        axis_name: Mapped axis (`jax.pmap`, `jax.shard_map`) that shares the statistics, with one
            reduction forward and one backward.

    Returns:
        The normalised activations, in the dtype of `x`; the mean and the biased variance,
        `[channels]`, in float32 at least. The last two carry no gradient.

    Raises:
        ValueError: If `scale` or `bias` is not one number a channel.

    References:
        Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """
    for name, array in (("scale", scale), ("bias", bias)):
        if array.shape != x.shape[-1:]:
            raise ValueError(
                f"`{name}` (shape {array.shape}) must have the channels of `x`, {x.shape[-1:]}"
            )
    y, mean, var = _normalise(epsilon, axis_name, x, varying(scale, x), varying(bias, x))
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _normalise(
    epsilon: float, axis_name: str | None, x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    return _forward(epsilon, axis_name, x, scale, bias)[0]


def _forward(
    epsilon: float, axis_name: str | None, x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Residuals]:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(x.ndim - 1))
    mean = wide.mean(axes)
    var = jnp.square(wide - _row(mean, x)).mean(axes)
    if axis_name is not None:
        moments = lax.pmean(jnp.stack([mean, var + jnp.square(mean)]), axis_name)
        mean, var = moments[0], jnp.maximum(moments[1] - jnp.square(moments[0]), 0)
    inverse = lax.rsqrt(var + epsilon)
    y = (wide - _row(mean, x)) * _row(inverse * scale, x) + _row(bias, x)
    return (y.astype(x.dtype), mean, var), (x, scale, mean, inverse)


def _backward(
    epsilon: float,
    axis_name: str | None,
    residuals: Residuals,
    cotangents: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    del epsilon
    x, scale, mean, inverse = residuals
    centred = x.astype(mean.dtype) - _row(mean, x)
    g = cotangents[0].astype(mean.dtype)
    axes = tuple(range(x.ndim - 1))
    bias_grad = g.sum(axes)
    scale_grad = (g * centred).sum(axes) * inverse
    means = jnp.stack([bias_grad, scale_grad]) / (x.size // x.shape[-1])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    factor = scale * inverse
    x_grad = ((g - _row(means[0], x)) - centred * _row(inverse * means[1], x)) * _row(factor, x)
    return x_grad.astype(x.dtype), scale_grad.astype(scale.dtype), bias_grad.astype(scale.dtype)


_normalise.defvjp(_forward, _backward)


def _row(values: jax.Array, x: jax.Array) -> jax.Array:
    return values.reshape((1,) * (x.ndim - 1) + values.shape)
