"""Two-dimensional convolution, NHWC inputs and HWIO kernels, explicit symmetric padding."""

from __future__ import annotations

from functools import partial

import jax
from jax import lax

from . import gradients, xla
from .geometry import Pair, Window, varying
from .primitives import convolve


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (1, 1),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> jax.Array:
    """Cross-correlate a batch of images with a kernel.

    Args:
        x: Images `[batch, height, width, channels]`.
        kernel: Weights `[kernel_h, kernel_w, channels / groups, features]`, in the dtype of `x`.
        stride: Steps between output positions, in pixels (height, width).
        padding: Zeros added on both sides of the height and of the width, in pixels.
        dilation: Distance between kernel taps, in pixels (height, width).
        groups: Number of independent channel groups.

    Returns:
        `[batch, out_h, out_w, features]`, in the dtype of `x`.

    Raises:
        ValueError: If the shapes, dtypes and options do not fit together.
    """
    check_arguments(x, kernel, stride, padding, dilation, groups)
    (high, wide), (down, right) = padding, stride
    window = Window(
        stride=(down, right),
        padding=((high, high), (wide, wide)),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )
    return _convolution(window, varying(x, kernel), varying(kernel, x))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolution(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolve(window, x, kernel)


def _forward(
    window: Window, x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # Not `convolve`: the second derivative needs the rule that is defined here.
    return _convolution(window, x, kernel), (x, kernel)


# Under `jit`, so that layers of one shape are traced once.
@partial(jax.jit, static_argnums=0)
def _backward(
    window: Window, residuals: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    # Two separate calls, so that an unused gradient (that of the first layer's input) is dropped.
    x_grad = lax.platform_dependent(
        g,
        kernel,
        cpu=partial(gradients.input_grad, window, _convolution, x.shape),
        default=partial(xla.input_grad, window, x.shape),
    )
    kernel_grad = lax.platform_dependent(
        x,
        g,
        cpu=partial(gradients.kernel_grad, window, kernel.shape),
        default=partial(xla.kernel_grad, window, kernel.shape),
    )
    return x_grad, kernel_grad


_convolution.defvjp(_forward, _backward)


def check_arguments(
    x: jax.Array, kernel: jax.Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Raise a ValueError that names the argument unless the convolution is defined."""
    if x.ndim != 4:
        raise ValueError(f"`x` (shape {x.shape}) must be [batch, height, width, channels]")
    if kernel.ndim != 4:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be [height, width, channels / groups, features]"
        )
    if x.dtype != kernel.dtype:
        raise ValueError(
            f"`x` ({x.dtype}) and `kernel` ({kernel.dtype}) must have one dtype; cast one of them"
        )
    for name, pair, least in (
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if len(pair) != 2 or min(pair) < least:
            raise ValueError(f"`{name}` (={pair}) must be two integers of at least {least}")
    channels, features = x.shape[3], kernel.shape[3]
    if groups < 1:
        raise ValueError(f"`groups` (={groups}) must be at least 1")
    if channels % groups:
        raise ValueError(f"channels of `x` (={channels}) must be divisible by `groups` (={groups})")
    if features % groups:
        raise ValueError(
            f"features of `kernel` (={features}) must be divisible by `groups` (={groups})"
        )
    if kernel.shape[2] * groups != channels:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must have {channels // groups} input channels, "
            f"the {channels} of `x` divided by `groups` (={groups})"
        )
    for axis, name in enumerate(("height", "width")):
        reach = dilation[axis] * (kernel.shape[axis] - 1) + 1
        if x.shape[axis + 1] + 2 * padding[axis] < reach:
            raise ValueError(
                f"{name} of `x` (={x.shape[axis + 1]}) with `padding` (={padding[axis]}) on both "
                f"sides must be at least {reach}, the reach of the kernel"
            )
