"""Batch normalisation with the statistics of the batch, and its gradient in two passes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from . import linear
from .conv.geometry import varying, zeros

Results = tuple[jax.Array, jax.Array, jax.Array]
Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def batch_norm_train(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    shift: jax.Array | None = None,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise each channel by the mean and variance of the batch.

    Computes `(x - mean) / sqrt(var + epsilon) * scale + bias`. The backward rule reads the
    activations twice: for the two sums it needs, and to write the result. Automatic
    differentiation of the formula would read them several times more.

    Args:
        x: Activations `[..., channels]`.
        scale: `[channels]`.
        bias: `[channels]`.
        shift: `[channels]`, an estimate of the mean, such as the running mean: on a mapped axis,
            and on all platforms but the CPU, it keeps the variance from cancelling. None means 0.
        epsilon: Added to the variance.
        axis_name: Mapped axis (`jax.pmap`, `jax.shard_map`) that shares the statistics, with one
            reduction forward and one backward. None keeps them to the device.

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
    y, mean, var = _normalise(epsilon, axis_name, x, varying(scale, x), varying(bias, x), shift)
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


def one_pass_moments(x: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the biased variance of each channel from one pass over the activations.

    Computes `d + shift` and `mean((x - shift)²) - d²` with `d = mean(x - shift)`, so that a
    convolution can form both sums as it writes its output. The variance loses about
    `1 + d² / variance` roundings.

    Args:
        x: Activations `[..., channels]`.
        shift: `[channels]`, an estimate of the mean, in the dtype of `x`.

    Returns:
        Two arrays `[channels]`.

    References:
        Chan, Golub and LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115 (shifted data)
    """
    axes = tuple(range(x.ndim - 1))
    shifted = x - _row(shift, x)
    distance, square = shifted.mean(axes), jnp.square(shifted).mean(axes)
    # Rounding may make the variance of a constant channel negative.
    return distance + shift, jnp.maximum(square - jnp.square(distance), 0)


def two_pass_moments(x: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the same as `one_pass_moments`, with the variance from a second pass.

    The variance has few roundings whatever the shift, which is ignored. On the CPU this is as
    fast as one pass, which XLA does not make of the two sums there.
    """
    del shift
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    return mean, jnp.square(x - _row(mean, x)).mean(axes)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _normalise(
    epsilon: float,
    axis_name: str | None,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    return _forward(epsilon, axis_name, x, scale, bias, shift)[0]


# Under `jit`, as the tangent and its transpose are, so that layers of one shape are traced once.
@partial(jax.jit, static_argnums=(0, 1))
def _forward(
    epsilon: float,
    axis_name: str | None,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array,
) -> tuple[Results, Residuals]:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    shift = shift.astype(wide.dtype)
    mean, var = lax.platform_dependent(wide, shift, cpu=two_pass_moments, default=one_pass_moments)
    if axis_name is not None:
        mean = mean - shift
        moments = lax.pmean(jnp.stack([mean, var + jnp.square(mean)]), axis_name)
        # Rounding may make the variance of a constant channel negative.
        var = jnp.maximum(moments[1] - jnp.square(moments[0]), 0)
        mean = moments[0] + shift
    inverse = lax.rsqrt(var + epsilon)
    # Not `x - mean` again, here or backward: XLA would store the one of the variance and keep it.
    factor = inverse * scale
    y = wide * _row(factor, x) + _row(bias - mean * factor, x)
    return (y.astype(x.dtype), mean, var), (x, scale, mean, inverse)


@_normalise.defjvp
def _jvp(
    epsilon: float,
    axis_name: str | None,
    primals: tuple[jax.Array, ...],
    tangents: tuple[jax.Array, ...],
) -> tuple[Results, Results]:
    (y, mean, var), residuals = _forward(epsilon, axis_name, *primals)
    rule = linear.Linear(_tangent, _cotangent, (axis_name,))
    # The shift cancels out.
    (slope,) = linear.apply(rule, residuals, tangents[:3], [y])
    return (y, mean, var), (slope, zeros(mean.shape, mean), zeros(var.shape, var))


@partial(jax.jit, static_argnums=0)
def _tangent(
    axis_name: str | None, residuals: Residuals, tangents: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array]:
    """Return the change of the normalised activations, by those of `x`, `scale` and `bias`."""
    x, scale, mean, inverse = residuals
    change, scale_change, bias_change = (values.astype(mean.dtype) for values in tangents)
    axes = tuple(range(x.ndim - 1))
    normalised = (x.astype(mean.dtype) - _row(mean, x)) * _row(inverse, x)
    means = jnp.stack([change.mean(axes), (change * normalised).mean(axes)])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    change = change - _row(means[0], x) - normalised * _row(means[1], x)
    y_change = change * _row(scale * inverse, x) + normalised * _row(scale_change, x)
    return ((y_change + _row(bias_change, x)).astype(x.dtype),)


@partial(jax.jit, static_argnums=0)
def _cotangent(
    axis_name: str | None, residuals: Residuals, cotangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the gradients for `x`, `scale` and `bias`."""
    x, scale, mean, inverse = residuals
    wide = x.astype(mean.dtype)
    g = cotangents[0].astype(mean.dtype)
    axes = tuple(range(x.ndim - 1))
    bias_grad = g.sum(axes)
    scale_grad = (g * (wide * _row(inverse, x) - _row(mean * inverse, x))).sum(axes)
    means = jnp.stack([bias_grad, scale_grad]) / (x.size // x.shape[-1])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    factor = scale * inverse
    slope = factor * inverse * means[1]
    x_grad = g * _row(factor, x) - wide * _row(slope, x) + _row(mean * slope - factor * means[0], x)
    return x_grad.astype(x.dtype), scale_grad.astype(scale.dtype), bias_grad.astype(scale.dtype)


def _row(values: jax.Array, x: jax.Array) -> jax.Array:
    return values.reshape((1,) * (x.ndim - 1) + values.shape)
