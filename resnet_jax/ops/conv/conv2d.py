"""Two-dimensional convolution, NHWC inputs and HWIO kernels, explicit symmetric padding."""

from __future__ import annotations

from functools import partial

import jax
from jax import lax
from jax.interpreters import ad

from . import gradients, xla
from .geometry import Pair, Window, varying
from .primitives import convolution_p, convolve


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
    return convolve(window, varying(x, kernel), varying(kernel, x))


# Under `jit`, as `_kernel_grad` is, so that layers of one shape are traced once.
@partial(jax.jit, static_argnums=(0, 1))
def _input_grad(
    window: Window, x_shape: tuple[int, ...], g: jax.Array, kernel: jax.Array
) -> jax.Array:
    return lax.platform_dependent(
        g,
        kernel,
        cpu=partial(gradients.input_grad, window, x_shape),
        default=partial(xla.input_grad, window, x_shape),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _kernel_grad(
    window: Window, kernel_shape: tuple[int, ...], x: jax.Array, g: jax.Array
) -> jax.Array:
    return lax.platform_dependent(
        x,
        g,
        cpu=partial(gradients.kernel_grad, window, kernel_shape),
        default=partial(xla.kernel_grad, window, kernel_shape),
    )


# A convolution is linear in the images and in the kernel: its tangents are convolutions, which
# reverse mode transposes. The gradients consist of such products, so all derivatives exist.
ad.defbilinear(
    convolution_p,
    lambda g, x, kernel, *, window: _input_grad(window, x.aval.shape, g, kernel),
    lambda g, x, kernel, *, window: _kernel_grad(window, kernel.aval.shape, x, g),
)


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
