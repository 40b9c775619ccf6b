"""A trial of oneDNN's calls, in a process of its own; see `probe`."""

from __future__ import annotations

import json
import resource

import jax
import jax.numpy as jnp
from jax import lax

from .conv2d import conv2d
from .fusion import fuse_convolutions
from .onednn import CONVOLUTION, PRODUCT

CASES = (
    ((2, 7, 9, 16), (3, 3, 16, 24), (1, 1), (1, 1), 1),
    ((2, 6, 6, 32), (3, 3, 8, 64), (2, 2), (1, 1), 4),
    ((2, 6, 6, 16), (1, 1, 16, 8), (1, 1), (0, 0), 1),
)
"""Shapes of images and kernel, stride, padding and groups."""

TOLERANCE = 1e-4
"""Largest error, relative to the largest value: a hundred times that of float32's rounding."""


def main() -> None:
    """Print whether the calls compute what XLA does, and why not, as one line of JSON."""
    # A process that XLA ends leaves no core file behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reason = fault()
    print(json.dumps({"works": reason is None, "reason": reason or "a trial gave XLA's numbers"}))


def fault() -> str | None:
    """Return what is wrong with the calls, or None."""
    try:
        for case in CASES:
            if reason := _fault(*case):
                return reason
        return _fused_fault()
    except jax.errors.JaxRuntimeError as error:
        return f"XLA refuses the calls: {str(error).splitlines()[0]}"


def _fault(
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> str | None:
    """Compare values and gradients of a convolution with those of `lax`."""

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv2d(x, kernel, stride=stride, padding=padding, groups=groups)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            stride,
            [(pixels, pixels) for pixels in padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], x_shape), jax.random.normal(keys[1], kernel_shape)
    g = jax.random.normal(keys[2], jax.eval_shape(theirs, x, kernel).shape)

    @jax.jit
    def errors(x: jax.Array, kernel: jax.Array, g: jax.Array) -> jax.Array:
        results = []
        for function in (ours, theirs):
            y, pullback = jax.vjp(function, x, kernel)
            results.append((y, *pullback(g)))
        return jnp.stack(
            [jnp.abs(a - b).max() / jnp.abs(b).max() for a, b in zip(*results, strict=True)]
        )

    lowered = errors.lower(x, kernel, g)
    text = lowered.as_text()
    if CONVOLUTION not in text or (kernel_shape[:2] == (1, 1) and PRODUCT not in text):
        return "a trial made no call"
    found = lowered.compile()(x, kernel, g)
    # Not `>`, which NaN would pass.
    if not bool((found <= TOLERANCE).all()):
        return f"a trial gave other numbers than XLA (relative errors {found.tolist()})"
    return None


def _fused_fault() -> str | None:
    """Compare a convolution with bias, sum and ReLU as one call with a call and operations."""

    def block(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return jax.nn.relu(conv2d(x, kernel) + bias[None, None, None, :] + x)

    keys = jax.random.split(jax.random.key(1), 3)
    x, kernel = (
        jax.random.normal(keys[0], (2, 7, 9, 16)),
        jax.random.normal(keys[1], (3, 3, 16, 16)),
    )
    bias = jax.random.normal(keys[2], (16,))
    expected = jax.jit(block)(x, kernel, bias)
    found = jax.jit(fuse_convolutions(block))(x, kernel, bias)
    error = float(jnp.abs(found - expected).max() / jnp.abs(expected).max())
    if not error <= TOLERANCE:
        return f"a trial of a fused call gave other numbers than XLA (relative error {error})"
    return None
