"""Mean and variance of each channel, of one device's activations or of all devices'."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def moments(
    x: jax.Array, shift: jax.Array, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the biased variance of each channel.

    Args:
        x: Activations `[..., channels]`.
        shift: `[channels]`, an estimate of the mean.
        axis_name: Mapped axis over which both are taken, with one reduction; None keeps them to
            the device.

    Returns:
        Two arrays `[channels]`, in the dtype of `x`.
    """
    shift = shift.astype(x.dtype)
    mean, var = lax.platform_dependent(x, shift, cpu=two_pass_moments, default=one_pass_moments)
    if axis_name is None:
        return mean, var
    mean = mean - shift
    shared = lax.pmean(jnp.stack([mean, var + jnp.square(mean)]), axis_name)
    # Rounding may make the variance of a constant channel negative.
    return shared[0] + shift, jnp.maximum(shared[1] - jnp.square(shared[0]), 0)


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
    shifted = x - row(shift, x)
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
    return mean, jnp.square(x - row(mean, x)).mean(axes)


def row(values: jax.Array, x: jax.Array) -> jax.Array:
    """Return one value a channel in a shape that goes with the activations.

    Args:
        values: `[channels]`.
        x: Activations `[..., channels]`.
    """
    return values.reshape((1,) * (x.ndim - 1) + values.shape)
