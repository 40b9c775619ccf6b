"""A convolution primitive: oneDNN's on the CPU where jaxlib has it, XLA's own elsewhere.

jaxlib for x86 Linux is built with oneDNN, and XLA's CPU backend runs a custom call named
`__onednn$convolution` with it; XLA's own rewriting pass makes that call under the flag
`xla_cpu_experimental_onednn_custom_call`. Here it is made for float32 convolutions alone, when
one device runs the whole computation or each device runs its own shard (`jax.shard_map`,
`jax.pmap`). Under automatic partitioning, which cannot split a custom call, and in exported
modules, which outlive their jaxlib, the portable lowering stands in. So it does while JAX's
persistent compilation cache is in use: XLA cannot write a program with such a call to disk
(nor can `jax.experimental.serialize_executable`).

References:
    https://github.com/openxla/xla/pull/31511 (the custom call in XLA's thunk runtime)
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from . import portable, reference
from .window import Window

# The format of the call's configuration is XLA's own affair and an unreadable one ends the
# process, so the call is made only by the releases that the tests were run with.
RELEASES = ("0.10.2",)
BUILT_IN = (
    jaxlib.__version__ in RELEASES
    and sys.platform == "linux"
    and platform.machine() in ("x86_64", "AMD64")
)

convolution_p = Primitive("convolution")


def convolve(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` [batch, height, width, channels] with `kernel`; has no derivative."""
    return convolution_p.bind(x, kernel, window=window)


def is_fast(window: Window, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> bool:
    """Whether oneDNN has a vectorised kernel for these shapes."""
    lanes = 8 if window.groups == 1 else 4
    per_group = (kernel_shape[2], kernel_shape[3] // window.groups)
    return min(x_shape) > 0 and all(channels % lanes == 0 for channels in per_group)


def _call(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    images = {"dims": 4, "data": {"batch_dim": 0, "feature_dim": 3, "spatial_dims": [1, 2]}}
    inner, outer = (3, 2) if window.swapped else (2, 3)
    weights = {"input_feature_dim": inner, "output_feature_dim": outer, "spatial_dims": [0, 1]}
    config = {
        "dims": 4,
        "input": images,
        "kernel": {"dims": 4, "filter": weights},
        "output": images,
        "window": {
            "size": kernel.shape[:2],
            "pad_left": [low for low, _ in window.padding],
            "pad_right": [high for _, high in window.padding],
            "strides": window.stride,
            "window_dilations": window.dilation,
        },
        "feature_groups": window.groups,
    }
    output = jax.ShapeDtypeStruct(window.output_shape(x.shape, kernel.shape), x.dtype)
    call = jax.ffi.ffi_call(
        "__onednn$convolution",
        output,
        custom_call_api_version=1,
        legacy_backend_config=json.dumps({"onednn_conv_config": config}),
    )
    return call(x, kernel)


def _abstract(x: Any, kernel: Any, *, window: Window) -> Any:
    return x.update(shape=window.output_shape(x.shape, kernel.shape))


def _batch(
    operands: Sequence[jax.Array], axes: Sequence[int | None], *, window: Window
) -> tuple[jax.Array, int]:
    x, kernel = operands
    if axes[1] is not None:
        forward = partial(reference.forward, window)
        return jax.vmap(forward, in_axes=tuple(axes))(x, kernel), 0
    x = jnp.moveaxis(x, axes[0] or 0, 0)
    y = convolve(window, x.reshape(-1, *x.shape[2:]), kernel)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


def _runs_whole(context: Any) -> bool:
    """Whether no partitioner comes between the lowered module and a device."""
    if isinstance(context, mlir.ShardingContext):
        return context.num_devices == 1
    if isinstance(context, mlir.SPMDAxisContext):
        return context.manual_axes == frozenset(context.mesh.axis_names)
    return False


def _is_cached() -> bool:
    """Whether JAX may write what it compiles to disk."""
    values = jax.config.values
    return values["jax_enable_compilation_cache"] and bool(values["jax_compilation_cache_dir"])


def _lower_for_cpu(ctx: Any, x: Any, kernel: Any, *, window: Window) -> Any:
    x_aval, kernel_aval = ctx.avals_in
    module = ctx.module_context
    fits = x_aval.dtype == jnp.float32 and is_fast(window, x_aval.shape, kernel_aval.shape)
    kept = module.lowering_parameters.for_export or _is_cached()
    if BUILT_IN and fits and not kept and _runs_whole(module.axis_context):
        lower = _call
    else:
        lower = portable.forward
    return mlir.lower_fun(partial(lower, window), multiple_results=False)(ctx, x, kernel)


def _lower(ctx: Any, x: Any, kernel: Any, *, window: Window) -> Any:
    forward = partial(reference.forward, window)
    return mlir.lower_fun(forward, multiple_results=False)(ctx, x, kernel)


def _run(x: jax.Array, kernel: jax.Array, *, window: Window) -> jax.Array:
    return jax.jit(convolve, static_argnums=0)(window, x, kernel)


convolution_p.def_impl(_run)
convolution_p.def_abstract_eval(_abstract)
batching.primitive_batchers[convolution_p] = _batch
mlir.register_lowering(convolution_p, _lower_for_cpu, platform="cpu")
mlir.register_lowering(convolution_p, _lower)
