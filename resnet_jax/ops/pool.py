"""Max pooling over NHWC images, explicit symmetric padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def max_pool(x: jax.Array, window: int = 3, stride: int = 2, padding: int = 1) -> jax.Array:
    """Largest value of each square window; padding never wins.

    Args:
        x: Images `[batch, height, width, channels]`, a floating dtype.
        window: Side of the window, in pixels.
        stride: Steps between windows, in pixels.
        padding: Pixels added on each side; at most half the window.

    Returns:
        `[batch, out_h, out_w, channels]`.

    Raises:
        ValueError: If `x` is not a floating array of four axes, or the window does not fit.
    """
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"`x` ({x.dtype}{list(x.shape)}) must be floating [batch, height, width, channels]"
        )
    if window < 1 or stride < 1:
        raise ValueError(f"`window` (={window}) and `stride` (={stride}) must be at least 1")
    if not 0 <= padding <= window // 2:
        raise ValueError(f"`padding` (={padding}) must be from 0 to half of `window` (={window})")
    if min(x.shape[1:3]) + 2 * padding < window:
        raise ValueError(f"`window` (={window}) must fit into the padded `x` (shape {x.shape})")
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        window_dimensions=(1, window, window, 1),
        window_strides=(1, stride, stride, 1),
        padding=((0, 0), (padding, padding), (padding, padding), (0, 0)),
    )
