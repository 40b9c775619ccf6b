"""JAX's operations that only move numbers, as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .graph import CHANNELS_FIRST, Graph, Operand, Shape, Value, arranged, is_dynamic, place

_FIRST_INT, _LAST_INT = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def _reshape(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
    sizes = [size for size in x.shape if size != 1]
    if [size for size in shape if size != 1] == sizes:
        # Axes of size 1 come and go; the others keep their order.
        kept = [axis for axis, size in enumerate(shape) if size != 1]
        return _broadcast(graph, shape, _without_ones(graph, x), broadcast_dimensions=kept)
    return Value(graph.reshape(graph.take(x), shape), shape, shape)


def _squeeze(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
    return _reshape(graph, shape, x)


def _without_ones(graph: Graph, x: Value) -> Value:
    """Return an array without its axes of size 1."""
    shape = tuple(size for size in x.shape if size != 1)
    # Of the axes that stay, the channels must be the last one again.
    first = x.channels_first and (x.shape[3] == 1 or x.shape[1:3] == (1, 1))
    if shape == x.shape:
        return x
    return Value(graph.reshape(graph.take(x, channels_first=first), shape), shape, shape)


def _broadcast(
    graph: Graph, shape: Shape, x: Operand, /, *, broadcast_dimensions: Any, **params: Any
) -> Value:
    """Give an array axes of size 1, which ONNX broadcasts where they meet others."""
    dimensions = tuple(broadcast_dimensions)
    had = x.stored if isinstance(x, Value) else x.shape
    stored = [1] * len(shape)
    for size, axis in zip(had, dimensions, strict=True):
        stored[axis] = size
    if isinstance(x, np.ndarray):
        return Value(graph.constant(x.reshape(stored)), shape, tuple(stored))
    if len(had) == len(shape):
        return Value(x.name, shape, tuple(stored), x.channels_first)
    places = [CHANNELS_FIRST.index(axis) if len(shape) == 4 else axis for axis in dimensions]
    first = len(shape) == 4 and sorted(places) == places
    name = graph.take(x, exact=False)
    name = graph.reshape(name, arranged(tuple(stored), first))
    return Value(name, shape, tuple(stored), first)


def _transpose(graph: Graph, shape: Shape, x: Value, *, permutation: Shape) -> Value:
    return Value(graph.add("Transpose", graph.take(x), perm=permutation), shape, shape)


def _concatenate(graph: Graph, shape: Shape, *parts: Operand, dimension: int) -> Value:
    parts = tuple(part for part in parts if part.shape[dimension])
    if len(parts) == 1 and isinstance(parts[0], Value):
        return parts[0]
    first = any(isinstance(part, Value) and part.channels_first for part in parts)
    names = [graph.take(part, channels_first=first) for part in parts]
    name = graph.add("Concat", *names, axis=place(dimension, first))
    return Value(name, shape, shape, first)


def _stack(graph: Graph, shape: Shape, *parts: Operand, axis: int) -> Value:
    place = graph.ints(axis)
    names = [graph.add("Unsqueeze", graph.take(part), place) for part in parts]
    return Value(graph.add("Concat", *names, axis=axis), shape, shape)


def _pad(graph: Graph, shape: Shape, x: Value, value: Operand, *, padding_config: Any) -> Value:
    if any(inner or min(low, high) < 0 for low, high, inner in padding_config):
        raise ValueError("`model` cannot be written as ONNX: it pads between pixels, or cuts off")
    first = x.channels_first
    lows, highs = (tuple(int(sides[end]) for sides in padding_config) for end in (0, 1))
    sides = graph.ints(*arranged(lows, first), *arranged(highs, first))
    name = graph.add("Pad", graph.take(x, channels_first=first), sides, graph.take(value))
    return Value(name, shape, shape, first)


def _slice(
    graph: Graph,
    shape: Shape,
    x: Value,
    *,
    start_indices: Shape,
    limit_indices: Shape,
    strides: Any,
) -> Value:
    steps = strides or (1,) * len(shape)
    cut = [
        axis
        for axis, (start, stop, step) in enumerate(
            zip(start_indices, limit_indices, steps, strict=True)
        )
        if (start, stop, step) != (0, x.shape[axis], 1)
    ]
    if any(is_dynamic(x.shape[axis]) for axis in cut):
        raise ValueError("`model` cannot be written as ONNX: it cuts the batch")
    rows = ([values[axis] for axis in cut] for values in (start_indices, limit_indices, steps))
    starts, stops, steps = rows
    return _cut(graph, shape, x, cut, starts, stops, steps)


def _reverse(graph: Graph, shape: Shape, x: Value, *, dimensions: Shape) -> Value:
    count = len(dimensions)
    ends = [_LAST_INT] * count, [_FIRST_INT] * count
    return _cut(graph, shape, x, dimensions, *ends, [-1] * count)


def _cut(
    graph: Graph, shape: Shape, x: Value, axes: Any, starts: Any, stops: Any, steps: Any
) -> Value:
    first = x.channels_first
    places = [place(axis, first) for axis in axes]
    vectors = (graph.ints(*values) for values in (starts, stops, places, steps))
    name = graph.add("Slice", graph.take(x, channels_first=first), *vectors)
    return Value(name, shape, shape, first)


MOVES: Mapping[str, Callable[..., Value]] = MappingProxyType(
    {
        "reshape": _reshape,
        "squeeze": _squeeze,
        "expand_dims": _reshape,
        "broadcast_in_dim": _broadcast,
        "transpose": _transpose,
        "concatenate": _concatenate,
        "stack": _stack,
        "pad": _pad,
        "slice": _slice,
        "rev": _reverse,
    }
)
"""The rules by the name of the primitive."""
