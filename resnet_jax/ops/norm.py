"""Batch normalisation with the statistics of the batch, and its gradient in two passes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from . import linear
from .conv.geometry import varying, zeros
from .dtypes import float32_or_wider
from .moments import moments, row
from .pool import Pool, max_pool

Results = tuple[jax.Array, jax.Array, jax.Array]
Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def batch_norm_train(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    shift: jax.Array | None = None,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
    relu_pool: Pool | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise each channel by the mean and variance of the batch.

    Computes `(x - mean) / sqrt(var + epsilon) * scale + bias`. The backward rule reads the
    activations twice: for the two sums it needs, and to write the result. Automatic
    differentiation of the formula would read them several times more.

    With `relu_pool` a ReLU and a max-pool follow. Both normalising and ReLU keep the order of the
    activations, or a negative scale turns it round; so except on the CPU the largest activation of
    each window, or the smallest, is taken first, and that one alone is normalised. Where several
    are equal once they are rounded, the gradient goes to the one that was largest before.

    Args:
        x: Activations `[..., channels]`.
        scale: `[channels]`.
        bias: `[channels]`.
        shift: `[channels]`, an estimate of the mean, such as the running mean: on a mapped axis,
            and on all platforms but the CPU, it keeps the variance from cancelling. None means 0.
        epsilon: Added to the variance.
        axis_name: Mapped axis (`jax.pmap`, `jax.shard_map`) that shares the statistics, with one
            reduction forward and one backward. None keeps them to the device.
        relu_pool: Windows of the max-pool that follows a ReLU, over `[batch, height, width,
            channels]`; None leaves out both.

    Returns:
        The normalised activations, in the dtype of `x`; the mean and the biased variance,
        `[channels]`, in float32 or wider. The last two carry no gradient.

    Raises:
        ValueError: If `scale`, `bias` or `shift` does not hold one number a channel.

    References:
        Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """
    for name, array in (("scale", scale), ("bias", bias), ("shift", shift)):
        if array is not None and array.shape != x.shape[-1:]:
            raise ValueError(
                f"`{name}` (shape {array.shape}) must have the channels of `x`, {x.shape[-1:]}"
            )
    if shift is None:
        shift = jnp.zeros_like(scale)
    shift = lax.stop_gradient(shift)
    if relu_pool is None:
        scale, bias = varying(scale, x), varying(bias, x)
        y, mean, var = _normalise(epsilon, axis_name, None, x, scale, bias, shift)
    else:
        y, mean, var = lax.platform_dependent(
            x,
            scale,
            bias,
            shift,
            cpu=partial(pool_last, epsilon, axis_name, relu_pool),
            default=partial(pool_first, epsilon, axis_name, relu_pool),
        )
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


def pool_last(
    epsilon: float,
    axis_name: str | None,
    pool: Pool,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> Results:
    """Normalise all activations, apply ReLU, and take the largest of each window.

    Args:
        epsilon: Added to the variance.
        axis_name: Mapped axis that shares the statistics, or None.
        pool: The windows.
        x: Activations `[batch, height, width, channels]`.
        scale: `[channels]`.
        bias: `[channels]`.
        shift: `[channels]`, an estimate of the mean.

    Returns:
        The result `[batch, height', width', channels]`; the mean and the variance, `[channels]`.
    """
    scale, bias = varying(scale, x), varying(bias, x)
    y, mean, var = _normalise(epsilon, axis_name, None, x, scale, bias, shift)
    return max_pool(jax.nn.relu(y), *pool), mean, var


def pool_first(
    epsilon: float,
    axis_name: str | None,
    pool: Pool,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> Results:
    """Return the same as `pool_last`, by taking the largest of each window first.

    Only those are normalised and need a gradient's sums. On the CPU, where the activations would
    have to be negated in a pass of their own, it is slower: forward and backward take 15 ms, and
    `pool_last` 11 ms, for 32 maps of 55 pixels and 64 channels (processor time on 2 cores of an
    AMD EPYC, 26 November 2026).
    """
    # A negative scale is a positive one of the negated activations, whose order it keeps.
    sign = jnp.where(lax.stop_gradient(scale) < 0, -1.0, 1.0).astype(scale.dtype)
    turned = x * row(sign.astype(x.dtype), x)
    scale, bias = varying(scale * sign, x), varying(bias, x)
    shift = shift * sign.astype(shift.dtype)
    y, mean, var = _normalise(epsilon, axis_name, pool, turned, scale, bias, shift)
    return jax.nn.relu(y), mean * sign.astype(mean.dtype), var


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _normalise(
    epsilon: float,
    axis_name: str | None,
    pool: Pool | None,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    return _forward(epsilon, axis_name, pool, x, scale, bias, shift)[0]


# Under `jit`, as the tangent and its transpose are, so that layers of one shape are traced once.
@partial(jax.jit, static_argnums=(0, 1, 2))
def _forward(
    epsilon: float,
    axis_name: str | None,
    pool: Pool | None,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> tuple[Results, Residuals]:
    mean, var = moments(x.astype(float32_or_wider(x.dtype)), shift, axis_name)
    inverse = lax.rsqrt(var + epsilon)
    # Not `x - mean` again, here or backward: XLA would store the one of the variance and keep it.
    factor = inverse * scale
    kept = x if pool is None else max_pool(x, *pool)
    y = kept.astype(mean.dtype) * row(factor, x) + row(bias - mean * factor, x)
    return (y.astype(x.dtype), mean, var), (x, kept, scale, mean, inverse)


@_normalise.defjvp
def _jvp(
    epsilon: float,
    axis_name: str | None,
    pool: Pool | None,
    primals: tuple[jax.Array, ...],
    tangents: tuple[jax.Array, ...],
) -> tuple[Results, Results]:
    (y, mean, var), residuals = _forward(epsilon, axis_name, pool, *primals)
    rule = linear.Linear(_tangent, _cotangent, (axis_name, pool))
    # The shift cancels out.
    (slope,) = linear.apply(rule, residuals, tangents[:3], [y])
    return (y, mean, var), (slope, zeros(mean.shape, mean), zeros(var.shape, var))


@partial(jax.jit, static_argnums=(0, 1))
def _tangent(
    axis_name: str | None,
    pool: Pool | None,
    residuals: Residuals,
    tangents: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[jax.Array]:
    """Return the change of the normalised activations, by those of `x`, `scale` and `bias`."""
    x, kept, scale, mean, inverse = residuals
    change, scale_change, bias_change = (values.astype(mean.dtype) for values in tangents)
    axes = tuple(range(x.ndim - 1))

    def normalise(values: jax.Array) -> jax.Array:
        return (values.astype(mean.dtype) - row(mean, x)) * row(inverse, x)

    means = jnp.stack([change.mean(axes), (change * normalise(x)).mean(axes)])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    if pool is not None:
        change = jax.jvp(lambda x: max_pool(x, *pool), (x,), tangents[:1])[1].astype(mean.dtype)
    normalised = normalise(kept)
    change = change - row(means[0], x) - normalised * row(means[1], x)
    y_change = change * row(scale * inverse, x) + normalised * row(scale_change, x)
    return ((y_change + row(bias_change, x)).astype(x.dtype),)


@partial(jax.jit, static_argnums=(0, 1))
def _cotangent(
    axis_name: str | None,
    pool: Pool | None,
    residuals: Residuals,
    cotangents: tuple[jax.Array],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the gradients for `x`, `scale` and `bias`."""
    x, kept, scale, mean, inverse = residuals
    wide, kept = x.astype(mean.dtype), kept.astype(mean.dtype)
    g = cotangents[0].astype(mean.dtype)
    axes = tuple(range(x.ndim - 1))
    bias_grad = g.sum(axes)
    scale_grad = (g * (kept * row(inverse, x) - row(mean * inverse, x))).sum(axes)
    means = jnp.stack([bias_grad, scale_grad]) / (x.size // x.shape[-1])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    if pool is not None:
        (spread,) = jax.vjp(lambda x: max_pool(x, *pool), x)[1](cotangents[0])
        g = spread.astype(mean.dtype)
    factor = scale * inverse
    slope = factor * inverse * means[1]
    x_grad = g * row(factor, x) - wide * row(slope, x) + row(mean * slope - factor * means[0], x)
    return x_grad.astype(x.dtype), scale_grad.astype(scale.dtype), bias_grad.astype(scale.dtype)
