"""A convolution with bias, residual sum and ReLU as one operation.

On the CPU they are post-operations of oneDNN's call: the output is written once, and the residual
sum in place. Everywhere else the operation is what it consists of, in the form that XLA turns into
cuDNN's fused convolution on a GPU; every derivative is that of those parts, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import onednn
from .cache_gate import gate
from .geometry import Window
from .primitives import convolve

fused_convolution_p = Primitive("fused_convolution")
"""Called with images, kernel, bias `[1, 1, 1, features]` and, at will, a map to add."""


def _compose(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *addend: jax.Array,
    window: Window,
    relu: bool,
) -> jax.Array:
    """Return the result by operations of their own."""
    y = sum(addend, convolve(window, x, kernel) + bias)
    return jax.nn.relu(y) if relu else y


def _shape(x: Any, kernel: Any, *others: Any, window: Window, relu: bool) -> Any:
    return x.update(shape=window.output_shape(x.shape, kernel.shape))


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    return jax.jvp(
        partial(_compose, **params), tuple(primals), tuple(map(ad.instantiate_zeros, tangents))
    )


def _batch(operands: Sequence[Any], axes: Sequence[Any], **params: Any) -> tuple[Any, int]:
    return jax.vmap(partial(_compose, **params), in_axes=tuple(axes))(*operands), 0


def _lower_for_cpu(ctx: Any, *operands: Any, **params: Any) -> Any:
    if not onednn.is_usable(ctx.module_context, ctx.avals_in[0]):
        return _lower(ctx, *operands, **params)
    gate.note_call()
    call = partial(onednn.convolve_fused, **params)
    return mlir.lower_fun(call, multiple_results=False)(ctx, *operands)


def _lower(ctx: Any, *operands: Any, **params: Any) -> Any:
    compose = partial(_compose, **params)
    return mlir.lower_fun(compose, multiple_results=False)(ctx, *operands)


@partial(jax.jit, static_argnames=("window", "relu"))
def _run_now(*operands: jax.Array, **params: Any) -> Any:
    return fused_convolution_p.bind(*operands, **params)


@fused_convolution_p.def_impl
def _run(*operands: jax.Array, **params: Any) -> Any:
    with jax.disable_jit(False):
        return _run_now(*operands, **params)


fused_convolution_p.def_abstract_eval(_shape)
ad.primitive_jvps[fused_convolution_p] = _jvp
batching.primitive_batchers[fused_convolution_p] = _batch
mlir.register_lowering(fused_convolution_p, _lower_for_cpu, platform="cpu")
mlir.register_lowering(fused_convolution_p, _lower)
