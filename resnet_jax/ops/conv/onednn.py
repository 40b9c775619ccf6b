"""oneDNN's convolution and matrix product, as XLA's CPU backend calls them.

jaxlib for x86 Linux is built with oneDNN, and XLA's CPU backend runs custom calls named
`__onednn$convolution` and `__onednn$matmul` with it; XLA's own rewriting pass makes such calls
under the flag `xla_cpu_experimental_onednn_custom_call`. This module makes them, where they work
(see `cpu_lowering`), for float32 alone, and when one device runs the whole computation or each
device runs its own shard (`jax.shard_map`, `jax.pmap`). Under automatic partitioning, which cannot
split a custom call, and in exported modules, which outlive their jaxlib, the lowerings of `matmul`
are used instead.

XLA cannot write a program with such a call to disk. So JAX's persistent compilation cache does not
keep it (see `cache_gate`), and `jax.experimental.serialize_executable` cannot take it. Nor can XLA
count the floating-point operations of a call; see `countable_flops`.

References:
    https://github.com/openxla/xla/pull/30997 and https://github.com/openxla/xla/pull/31511
    (the custom calls in XLA's thunk runtime)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir

from .geometry import Window
from .lowering import cpu_lowering

CONVOLUTION = "__onednn$convolution"
PRODUCT = "__onednn$matmul"

# A product of few rows, or with few results, is faster in oneDNN than in XLA; others are slower.
FEW_PIXELS = 512
FEW_RESULTS = 2**17

_counting = ContextVar("_counting", default=False)


@contextmanager
def countable_flops() -> Iterator[None]:
    """Lower convolutions to operations whose cost XLA knows.

    XLA's cost analysis, which `tabulate(compute_flops=True)` of Flax reads, takes a call of
    oneDNN for -1 operation. `ResNet.tabulate` counts within this context; a module of one's own
    that contains convolutions of this package must be counted within it.

    >>> from jax import numpy as jnp
    >>> from resnet_jax.ops import conv2d
    >>> with countable_flops():
    ...     lowered = jax.jit(conv2d).lower(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8)))
    >>> int(lowered.cost_analysis()["flops"])
    4800
    """
    token = _counting.set(True)
    try:
        yield
    finally:
        _counting.reset(token)


def is_counting() -> bool:
    """Return whether a module is lowered within `countable_flops`."""
    return _counting.get()


def is_usable(context: Any, operand: Any) -> bool:
    """Return whether a module that is being lowered may make the calls for such operands."""
    if context.lowering_parameters.for_export or is_counting() or _is_shared():
        return False
    if operand.dtype != jnp.float32 or operand.size == 0 or not _runs_whole(context.axis_context):
        return False
    return cpu_lowering().name == "onednn"


def contracts_fast(pixels: int, channels: int, features: int) -> bool:
    """Return whether oneDNN multiplies a transposed matrix faster than XLA does."""
    return pixels <= FEW_PIXELS or channels * features < FEW_RESULTS


def convolve(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve `x` `[batch, height, width, channels]` with `kernel`."""
    return _convolve(window, x, kernel)


def convolve_fused(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *addend: jax.Array,
    window: Window,
    relu: bool,
) -> jax.Array:
    """Convolve, add a bias `[1, 1, 1, features]` and perhaps a map, and perhaps apply ReLU."""
    operations = ["BIAS", *(["SUM"] * len(addend)), *(["RELU"] * relu)]
    # oneDNN adds the sum to what the result holds before: the map itself, or XLA's copy of it.
    aliases = {3: 0} if addend else None
    return _convolve(
        window, x, kernel, bias.reshape(-1), *addend, fused=operations, in_place=aliases
    )


def contract(x: jax.Array, g: jax.Array) -> jax.Array:
    """Multiply the transpose of `x` `[pixels, channels]` by `g` `[pixels, features]`."""
    config = {"onednn_matmul_config": {"transpose_a": True}}
    return _call(PRODUCT, config, (x.shape[1], g.shape[1]), x, g)


def _convolve(
    window: Window,
    x: jax.Array,
    kernel: jax.Array,
    *others: jax.Array,
    fused: Sequence[str] = (),
    in_place: dict[int, int] | None = None,
) -> jax.Array:
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
        "fusions": {"ops": fused},
    }
    shape = window.output_shape(x.shape, kernel.shape)
    operands = (x, kernel, *others)
    return _call(CONVOLUTION, {"onednn_conv_config": config}, shape, *operands, in_place=in_place)


def _call(
    name: str,
    config: dict[str, Any],
    shape: tuple[int, ...],
    *operands: jax.Array,
    in_place: dict[int, int] | None = None,
) -> jax.Array:
    call = jax.ffi.ffi_call(
        name,
        jax.ShapeDtypeStruct(shape, operands[0].dtype),
        custom_call_api_version=1,
        legacy_backend_config=json.dumps(config),
        input_output_aliases=in_place,
    )
    return call(*operands)


def _runs_whole(context: Any) -> bool:
    """Return whether no partitioner comes between the lowered module and a device."""
    if isinstance(context, mlir.ShardingContext):
        return context.num_devices == 1
    if isinstance(context, mlir.SPMDAxisContext):
        return context.manual_axes == frozenset(context.mesh.axis_names)
    return False


def _is_shared() -> bool:
    """Return whether the first of several processes sends its compiled programs to the others."""
    return bool(jax.config.values["jax_share_binary_between_hosts"])
