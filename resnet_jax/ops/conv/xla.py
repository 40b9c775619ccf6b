"""The convolution and its two gradients as XLA's own operation, on every platform."""

from __future__ import annotations

import jax
from jax import lax

from .geometry import Window, zeros


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` `[batch, height, width, channels]` with `kernel`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.stride,
        padding=window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", "HWOI" if window.swapped else "HWIO", "NHWC"),
        feature_group_count=window.groups,
    )


def input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Return the gradient for the input, given that of the output.

    Args:
        window: The geometry.
        x_shape: `[batch, height, width, channels]`.
        g: The gradient for the output, `[batch, out_h, out_w, features]`.
        kernel: The kernel.
    """
    _, pullback = jax.vjp(lambda x: forward(window, x, kernel), zeros(x_shape, g))
    return pullback(g)[0]


def kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Return the gradient for the kernel, given that of the output.

    Args:
        window: The geometry.
        kernel_shape: The shape of the kernel.
        x: The input, `[batch, height, width, channels]`.
        g: The gradient for the output, `[batch, out_h, out_w, features]`.
    """
    _, pullback = jax.vjp(lambda kernel: forward(window, x, kernel), zeros(kernel_shape, g))
    return pullback(g)[0]
