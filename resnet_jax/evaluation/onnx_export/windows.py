"""Convolutions, pools and batch normalisation as ONNX nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .graph import Graph, Operand, Shape, Value

_OUT_IN_HEIGHT_WIDTH = (3, 2, 0, 1)
_NHWC, _HWIO = (0, 3, 1, 2), (3, 2, 0, 1)


def convolution(
    graph: Graph,
    shape: Shape,
    x: Operand,
    kernel: Operand,
    bias: np.ndarray | None = None,
    *,
    window: Any,
) -> Value:
    """Append our own convolution, perhaps with a bias `[1, 1, 1, features]`."""
    return _conv(
        graph,
        shape,
        x,
        kernel,
        strides=window.stride,
        padding=window.padding,
        dilations=window.dilation,
        groups=window.groups,
        bias=bias,
    )


def _lax_convolution(
    graph: Graph, shape: Shape, x: Operand, kernel: Operand, **params: Any
) -> Value:
    """Append a convolution of JAX, as Flax's `Conv` has it."""
    axes = params["dimension_numbers"]
    plain = (axes.lhs_spec, axes.rhs_spec, axes.out_spec) == (_NHWC, _HWIO, _NHWC)
    if not plain or set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise ValueError(
            "`model` cannot be written as ONNX: a convolution is transposed, or not of images "
            "[batch, height, width, channels]"
        )
    return _conv(
        graph,
        shape,
        x,
        kernel,
        strides=params["window_strides"],
        padding=params["padding"],
        dilations=params["rhs_dilation"],
        groups=params["feature_group_count"],
    )


def _conv(
    graph: Graph,
    shape: Shape,
    x: Operand,
    kernel: Operand,
    *,
    strides: Any,
    padding: Any,
    dilations: Any,
    groups: int,
    bias: np.ndarray | None = None,
) -> Value:
    if isinstance(kernel, Value):
        weight = graph.add("Transpose", graph.take(kernel), perm=_OUT_IN_HEIGHT_WIDTH)
    else:
        weight = graph.constant(kernel, _OUT_IN_HEIGHT_WIDTH)
    operands = [graph.take(x, channels_first=True), weight]
    if bias is not None:
        vector = bias.reshape(-1)
        graph.keep_name(vector, bias)
        operands.append(graph.constant(vector))
    name = graph.add(
        "Conv",
        *operands,
        kernel_shape=kernel.shape[:2],
        strides=strides,
        pads=_pads(padding),
        dilations=dilations,
        group=groups,
    )
    return Value(name, shape, shape, channels_first=True)


def _pool(op: str, **attributes: Any) -> Callable[..., Value]:
    def rule(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
        options: dict[str, Any] = {}
        for name, param in (("kernel_shape", "window_dimensions"), ("strides", "window_strides")):
            if len(shape) != 4 or (params[param][0], params[param][3]) != (1, 1):
                raise ValueError(
                    "`model` cannot be written as ONNX: it pools over other axes than height and "
                    "width"
                )
            options[name] = params[param][1:3]
        if set(params["base_dilation"]) | set(params["window_dilation"]) != {1}:
            raise ValueError("`model` cannot be written as ONNX: it pools with dilation")
        options["pads"] = _pads(params["padding"][1:3])
        name = graph.add(op, graph.take(x, channels_first=True), **options, **attributes)
        return Value(name, shape, shape, channels_first=True)

    return rule


def _window_sum(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
    mean = _pool("AveragePool", count_include_pad=1)(graph, shape, x, **params)
    count = np.array(math.prod(params["window_dimensions"]), np.float32)
    name = graph.add("Mul", mean.name, graph.constant(count))
    return Value(name, shape, shape, channels_first=True)


def _batch_norm(
    graph: Graph, shape: Shape, x: Value, *statistics: Operand, epsilon: float
) -> Value:
    names = [graph.take(x, channels_first=True), *map(graph.take, statistics)]
    name = graph.add("BatchNormalization", *names, epsilon=epsilon)
    return Value(name, shape, shape, channels_first=True)


def _pads(padding: Any) -> tuple[int, ...]:
    """Return the pixels added (above, left, below, right)."""
    return tuple(int(sides[end]) for end in (0, 1) for sides in padding)


WINDOWS: Mapping[str, Callable[..., Value]] = MappingProxyType(
    {
        "convolution": convolution,
        "conv_general_dilated": _lax_convolution,
        "reduce_window_max": _pool("MaxPool"),
        "reduce_window_sum": _window_sum,
        "batch_normalization": _batch_norm,
    }
)
"""The rules by the name of the primitive."""
