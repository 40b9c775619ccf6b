"""The convolution and its two gradients as XLA's own operation, for every platform."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Window(NamedTuple):
    """How a kernel moves over the images; pairs are (height, width), in pixels."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def zeros(shape: tuple[int, ...], like: jax.Array) -> jax.Array:
    """Zeros of the dtype of `like`, and varying over the same axes inside `jax.shard_map`."""
    return varying(jnp.zeros(shape, like.dtype), like)


def varying(x: jax.Array, like: jax.Array) -> jax.Array:
    """`x`, marked inside `jax.shard_map` as varying over every axis that `like` varies over."""
    axes = jax.typeof(like).manual_axis_type.varying - jax.typeof(x).manual_axis_type.varying
    return lax.pcast(x, tuple(axes), to="varying") if axes else x


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` [batch, height, width, channels] with `kernel`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.stride,
        padding=[(p, p) for p in window.padding],
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=window.groups,
    )


def input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Gradient for the input, from that of the output, `g` [batch, out_h, out_w, features]."""
    _, pullback = jax.vjp(lambda x: forward(window, x, kernel), zeros(x_shape, g))
    return pullback(g)[0]


def kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    """Gradient for the kernel, from that of the output, `g` [batch, out_h, out_w, features]."""
    _, pullback = jax.vjp(lambda kernel: forward(window, x, kernel), zeros(kernel_shape, g))
    return pullback(g)[0]
