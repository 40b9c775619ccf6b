"""An ONNX graph that grows node by node, and the layout of the arrays in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

BATCH = 1_000_003
"""Size of a batch while a network is traced: a prime, so that its multiples stand for any batch."""

CHANNELS_FIRST = (0, 3, 1, 2)
"""Axes of `[batch, height, width, channels]` in ONNX's order."""
CHANNELS_LAST = (0, 2, 3, 1)
"""Axes of `[batch, channels, height, width]` in ours."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """An array that depends on the images.

    Attributes:
        name: its name in the graph.
        shape: what JAX says of it; images are `[batch, height, width, channels]`.
        stored: the shape that it has in the graph, with 1 where it is broadcast later; in the same
            order of axes as `shape`.
        channels_first: whether the graph has it as `[batch, channels, height, width]`.
    """

    name: str
    shape: Shape
    stored: Shape
    channels_first: bool = False


Operand = Value | np.ndarray
"""An array of the graph, or one whose values are known."""


class Node(NamedTuple):
    """One operation with one result."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Graph:
    """The nodes so far, in order, and the arrays of known values that they take.

    Attributes:
        nodes: the nodes.
        constants: the arrays by name.
        terms: how many terms each sum has, by the name of its result.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.terms: dict[str, int] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._transposed: dict[str, str] = {}
        self._parameters: dict[int, tuple[str, np.ndarray]] = {}

    def name_parameter(self, name: str, array: np.ndarray) -> None:
        """Give a name to an array that nodes may take later."""
        self._parameters[id(array)] = (name, array)

    def keep_name(self, array: np.ndarray, other: np.ndarray) -> None:
        """Give an array the name of another one with the same numbers, if that has a name."""
        if id(other) in self._parameters:
            self.name_parameter(self._parameters[id(other)][0], array)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; return the name of its result."""
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, output, attributes))
        return output

    def constant(self, array: np.ndarray, axes: Sequence[int] | None = None) -> str:
        """Return the name of an array of known values, perhaps with its axes in another order."""
        array = np.asarray(array)
        order = tuple(range(array.ndim)) if axes is None else tuple(axes)
        name, _ = self._parameters.get(id(array), ("", array))
        key: tuple[Any, ...]
        if name:
            key = (name, array.shape, order)
        else:
            key = (array.dtype.str, array.shape, array.tobytes(), order)
        if key not in self._names:
            name = name or f"constant_{len(self.constants)}"
            if name in self.constants:
                name = f"{name}_{len(self.constants)}"
            self._names[key] = name
            self.constants[name] = np.ascontiguousarray(array.transpose(order))
        return self._names[key]

    def ints(self, *values: int) -> str:
        """Return the name of a vector of integers, as shapes and axes are given."""
        return self.constant(np.array(values, np.int64))

    def take(self, operand: Operand, *, channels_first: bool = False, exact: bool = True) -> str:
        """Return the name of an array in a layout.

        Args:
            operand: the array.
            channels_first: the layout, for arrays of four axes.
            exact: whether it must have all of its shape; otherwise axes that are broadcast may
                have size 1, as ONNX broadcasts by itself.
        """
        if not isinstance(operand, Value):
            turn = channels_first and operand.ndim == 4
            return self.constant(operand, CHANNELS_FIRST if turn else None)
        name = operand.name
        if len(operand.shape) == 4 and operand.channels_first != channels_first:
            if name not in self._transposed:
                axes = CHANNELS_FIRST if channels_first else CHANNELS_LAST
                self._transposed[name] = self.add("Transpose", name, perm=axes)
            name = self._transposed[name]
        if exact and operand.stored != operand.shape:
            sizes = arranged(operand.shape, channels_first)
            # Where the size is that of the batch already, 1 leaves it.
            known = arranged(operand.stored, channels_first)
            name = self.add("Expand", name, self._sizes(sizes, known))
        return name

    def reshape(self, name: str, sizes: Shape) -> str:
        """Append a reshape; one size may be that of a batch.

        Raises:
            ValueError: if more than one is.
        """
        dynamic = [is_dynamic(size) for size in sizes]
        if sum(dynamic) > 1:
            raise ValueError("`model` cannot be written as ONNX: two axes depend on the batch")
        return self.add(
            "Reshape", name, self.ints(*(-1 if is_dynamic(size) else size for size in sizes))
        )

    def _sizes(self, sizes: Shape, stored: Shape) -> str:
        """Return the name of the sizes that an array is expanded to."""
        fixed = [1 if size == had else size for size, had in zip(sizes, stored, strict=True)]
        if not any(map(is_dynamic, fixed)):
            return self.ints(*fixed)
        if any(is_dynamic(size) and size != BATCH for size in fixed):
            raise ValueError(
                "`model` cannot be written as ONNX: an axis is a multiple of the batch"
            )
        batch = self.add("Shape", IMAGES, start=0, end=1)
        parts = [batch if size == BATCH else self.ints(size) for size in fixed]
        return self.add("Concat", *parts, axis=0)


IMAGES = "images"
"""Name of a graph's input."""


def is_dynamic(size: int) -> bool:
    """Return whether a size depends on the batch."""
    return size > 0 and size % BATCH == 0


def arranged(shape: Shape, channels_first: bool) -> Shape:
    """Return sizes in the order of the graph."""
    if channels_first and len(shape) == 4:
        return tuple(shape[axis] for axis in CHANNELS_FIRST)
    return shape


def place(axis: int, channels_first: bool) -> int:
    """Return where an axis of ours is in the graph."""
    return CHANNELS_FIRST.index(axis) if channels_first else axis
