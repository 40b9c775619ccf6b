"""Two primitives whose lowering is chosen late, once the platform is known.

Both are linear in each operand. The derivatives of the convolution are beside `conv2d`, because
they are made of both primitives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import matmul, onednn, xla
from .cache_gate import gate
from .geometry import Window

convolution_p = Primitive("convolution")
contraction_p = Primitive("contraction")


def convolve(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` `[batch, height, width, channels]` with `kernel`."""
    return convolution_p.bind(x, kernel, window=window)


def contract(x: jax.Array, g: jax.Array) -> jax.Array:
    """Multiply the transpose of `x` `[pixels, channels]` by `g` `[pixels, features]`."""
    return contraction_p.bind(x, g)


def _plain_contract(x: jax.Array, g: jax.Array) -> jax.Array:
    return lax.dot_general(x, g, (((0,), (0,)), ((), ())))


def _convolution_shape(x: Any, kernel: Any, *, window: Window) -> Any:
    return x.update(shape=window.output_shape(x.shape, kernel.shape))


def _contraction_shape(x: Any, g: Any) -> Any:
    return x.update(shape=(x.shape[1], g.shape[1]))


def _batch_convolution(
    operands: Sequence[jax.Array], axes: Sequence[int | None], *, window: Window
) -> tuple[jax.Array, int]:
    x, kernel = operands
    if axes[1] is not None:
        forward = partial(xla.forward, window)
        return jax.vmap(forward, in_axes=tuple(axes))(x, kernel), 0
    x = jnp.moveaxis(x, axes[0] or 0, 0)
    y = convolve(window, x.reshape(-1, *x.shape[2:]), kernel)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


def _batch_contraction(
    operands: Sequence[jax.Array], axes: Sequence[int | None]
) -> tuple[jax.Array, int]:
    return jax.vmap(_plain_contract, in_axes=tuple(axes))(*operands), 0


def _lower_with(ctx: Any, function: Callable[..., jax.Array], *operands: Any) -> Any:
    return mlir.lower_fun(function, multiple_results=False)(ctx, *operands)


def _lower_convolution_for_cpu(ctx: Any, x: Any, kernel: Any, *, window: Window) -> Any:
    usable = onednn.is_usable(ctx.module_context, ctx.avals_in[0])
    # The products of `matmul` do more operations than a convolution with groups needs.
    other = xla.forward if onednn.is_counting() else matmul.forward
    forward = onednn.convolve if usable else other
    if usable:
        gate.note_call()
    return _lower_with(ctx, partial(forward, window), x, kernel)


def _lower_convolution(ctx: Any, x: Any, kernel: Any, *, window: Window) -> Any:
    return _lower_with(ctx, partial(xla.forward, window), x, kernel)


def _lower_convolution_for_tpu(ctx: Any, x: Any, kernel: Any, *, window: Window) -> Any:
    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = xla.forward(window, x, kernel)
        # Otherwise XLA keeps the result of a grouped bfloat16 convolution in float32, as it comes
        # and as a normalisation reads it, which moves and holds twice the bytes.
        return y if window.groups == 1 else lax.optimization_barrier(y)

    return _lower_with(ctx, forward, x, kernel)


def _lower_contraction_for_cpu(ctx: Any, x: Any, g: Any) -> Any:
    (pixels, channels), (_, features) = (aval.shape for aval in ctx.avals_in)
    usable = onednn.is_usable(ctx.module_context, ctx.avals_in[0])
    fast = usable and onednn.contracts_fast(pixels, channels, features)
    if fast:
        gate.note_call()
    return _lower_with(ctx, onednn.contract if fast else _plain_contract, x, g)


def _lower_contraction(ctx: Any, x: Any, g: Any) -> Any:
    return _lower_with(ctx, _plain_contract, x, g)


_convolve_now = jax.jit(convolve, static_argnums=0)
_contract_now = jax.jit(contract)


# A primitive alone is compiled, as JAX's own are, even where the user disables `jit`.
@convolution_p.def_impl
def _run_convolution(x: jax.Array, kernel: jax.Array, *, window: Window) -> jax.Array:
    with jax.disable_jit(False):
        return _convolve_now(window, x, kernel)


@contraction_p.def_impl
def _run_contraction(x: jax.Array, g: jax.Array) -> jax.Array:
    with jax.disable_jit(False):
        return _contract_now(x, g)


convolution_p.def_abstract_eval(_convolution_shape)
contraction_p.def_abstract_eval(_contraction_shape)
ad.defbilinear(
    contraction_p,
    lambda cotangent, x, g: g @ cotangent.T,
    lambda cotangent, x, g: x @ cotangent,
)
batching.primitive_batchers[convolution_p] = _batch_convolution
batching.primitive_batchers[contraction_p] = _batch_contraction
mlir.register_lowering(convolution_p, _lower_convolution_for_cpu, platform="cpu")
mlir.register_lowering(convolution_p, _lower_convolution_for_tpu, platform="tpu")
mlir.register_lowering(convolution_p, _lower_convolution)
mlir.register_lowering(contraction_p, _lower_contraction_for_cpu, platform="cpu")
mlir.register_lowering(contraction_p, _lower_contraction)
