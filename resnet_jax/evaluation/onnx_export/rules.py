"""JAX's elementwise operations, reductions and products as ONNX nodes, by primitive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .graph import Graph, Operand, Shape, Value, is_dynamic, place
from .moves import MOVES
from .windows import WINDOWS, convolution

Rule = Callable[..., Value]
"""Called as `rule(graph, shape, *operands, **params)`, with the shape of the result."""


def _elementwise(graph: Graph, shape: Shape, op: str, *operands: Operand) -> Value:
    """Append an operation that broadcasts; its result has the layout of the images in it."""
    values = [operand for operand in operands if isinstance(operand, Value)]
    first = len(shape) == 4 and any(value.channels_first for value in values)
    names = [graph.take(operand, channels_first=first, exact=False) for operand in operands]
    stored = np.broadcast_shapes(
        *(operand.stored if isinstance(operand, Value) else operand.shape for operand in operands)
    )
    return Value(graph.add(op, *names), shape, stored, first)


def _plain(op: str) -> Rule:
    """Return the rule of an operation that ONNX has, too."""

    def rule(graph: Graph, shape: Shape, *operands: Operand, **params: Any) -> Value:
        return _elementwise(graph, shape, op, *operands)

    return rule


def _chain(*ops: str) -> Rule:
    """Return the rule of a function of one array that takes several nodes."""

    def rule(graph: Graph, shape: Shape, x: Operand, **params: Any) -> Value:
        for op in ops:
            x = _elementwise(graph, shape, op, x)
        assert isinstance(x, Value)
        return x

    return rule


def _max(graph: Graph, shape: Shape, x: Operand, y: Operand) -> Value:
    for one, other in ((x, y), (y, x)):
        if isinstance(one, np.ndarray) and one.ndim == 0 and one == 0:
            return _elementwise(graph, shape, "Relu", other)
    return _elementwise(graph, shape, "Max", x, y)


def _div(graph: Graph, shape: Shape, x: Operand, y: Operand) -> Value:
    """Append a division; a sum divided by the number of its terms is a mean."""
    if isinstance(x, Value) and isinstance(y, np.ndarray) and x.shape == x.stored and y.ndim == 0:
        node = next((node for node in reversed(graph.nodes) if node.output == x.name), None)
        if node is not None and node.op == "ReduceSum" and graph.terms[x.name] == float(y):
            mean = graph.add("ReduceMean", *node.inputs, **node.attributes)
            return Value(mean, shape, shape, x.channels_first)
    return _elementwise(graph, shape, "Div", x, y)


def _fused_convolution(
    graph: Graph,
    shape: Shape,
    x: Operand,
    kernel: Operand,
    bias: np.ndarray,
    *addend: Operand,
    window: Any,
    relu: bool,
) -> Value:
    y = convolution(graph, shape, x, kernel, bias, window=window)
    for other in addend:
        y = _elementwise(graph, shape, "Add", y, other)
    return _elementwise(graph, shape, "Relu", y) if relu else y


def _power(graph: Graph, shape: Shape, x: Value, *, y: int) -> Value:
    return _elementwise(graph, shape, "Pow", x, np.array(y, np.float32))


def _square(graph: Graph, shape: Shape, x: Value) -> Value:
    return _elementwise(graph, shape, "Mul", x, x)


def _not_equal(graph: Graph, shape: Shape, x: Operand, y: Operand) -> Value:
    return _chain("Not")(graph, shape, _elementwise(graph, shape, "Equal", x, y))


def _expm1(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
    return _elementwise(
        graph, shape, "Sub", _chain("Exp")(graph, shape, x), np.array(1, np.float32)
    )


def _log1p(graph: Graph, shape: Shape, x: Value, **params: Any) -> Value:
    return _chain("Log")(
        graph, shape, _elementwise(graph, shape, "Add", x, np.array(1, np.float32))
    )


def _clamp(graph: Graph, shape: Shape, low: Operand, x: Operand, high: Operand) -> Value:
    return _elementwise(graph, shape, "Min", _elementwise(graph, shape, "Max", x, low), high)


def _select(graph: Graph, shape: Shape, which: Operand, no: Operand, yes: Operand) -> Value:
    return _elementwise(graph, shape, "Where", which, yes, no)


def _convert(graph: Graph, shape: Shape, x: Value, *, new_dtype: np.dtype, **params: Any) -> Value:
    if np.dtype(new_dtype).name not in ("float32", "int32", "int64", "bool"):
        raise ValueError(f"`model` cannot be written as ONNX: it computes in {new_dtype}")
    kind = np.dtype(new_dtype).name
    return Value(graph.add("Cast", x.name, to=kind), shape, x.stored, x.channels_first)


def _reduction(op: str) -> Rule:
    def rule(graph: Graph, shape: Shape, x: Value, *, axes: Shape, **params: Any) -> Value:
        if any(is_dynamic(x.shape[axis]) for axis in axes):
            raise ValueError("`model` cannot be written as ONNX: it mixes the images of a batch")
        # The axes that stay must be in our order.
        first = x.channels_first and (3 in axes or {1, 2} <= set(axes))
        name = graph.take(x, channels_first=first)
        places = graph.ints(*(place(axis, first) for axis in axes))
        result = graph.add(op, name, places, keepdims=0)
        graph.terms[result] = math.prod(x.shape[axis] for axis in axes)
        return Value(result, shape, shape)

    return rule


def _dot(graph: Graph, shape: Shape, x: Operand, y: Operand, **params: Any) -> Value:
    """Append a matrix product, or a sum of products over any axes."""
    ((x_sum, y_sum), (x_batch, y_batch)) = params["dimension_numbers"]
    names = graph.take(x), graph.take(y)
    if (x_sum, y_sum, x_batch, len(_shape(x)), len(_shape(y))) == ((1,), (0,), (), 2, 2):
        return Value(graph.add("MatMul", *names), shape, shape)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in _shape(x)]
    second = [next(letters) for _ in _shape(y)]
    for mine, its in (*zip(x_sum, y_sum, strict=True), *zip(x_batch, y_batch, strict=True)):
        second[its] = first[mine]
    result = [first[axis] for axis in x_batch]
    result += [letter for axis, letter in enumerate(first) if axis not in (*x_sum, *x_batch)]
    result += [letter for axis, letter in enumerate(second) if axis not in (*y_sum, *y_batch)]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    return Value(graph.add("Einsum", *names, equation=equation), shape, shape)


def _shape(operand: Operand) -> Shape:
    return operand.shape


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{
            name: _plain(op)
            for name, op in {
                **{"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "pow": "Pow"},
                **{"min": "Min", "neg": "Neg", "abs": "Abs", "sign": "Sign", "floor": "Floor"},
                **{"exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid"},
                **{"sqrt": "Sqrt", "erf": "Erf", "gt": "Greater", "ge": "GreaterOrEqual"},
                **{"lt": "Less", "le": "LessOrEqual", "eq": "Equal", "not": "Not", "and": "And"},
                **{"or": "Or", "copy": "Identity", "copy_p": "Identity"},
            }.items()
        },
        "rsqrt": _chain("Sqrt", "Reciprocal"),
        "ne": _not_equal,
        "max": _max,
        "div": _div,
        "integer_pow": _power,
        "square": _square,
        "expm1": _expm1,
        "log1p": _log1p,
        "clamp": _clamp,
        "select_n": _select,
        "convert_element_type": _convert,
        "reduce_sum": _reduction("ReduceSum"),
        "reduce_max": _reduction("ReduceMax"),
        "reduce_min": _reduction("ReduceMin"),
        "dot_general": _dot,
        "fused_convolution": _fused_convolution,
        **MOVES,
        **WINDOWS,
    }
)
"""What an operation of JAX becomes, by the name of its primitive."""
