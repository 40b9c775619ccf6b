"""The evaluation transform as ONNX nodes."""

from __future__ import annotations

import numpy as np

from ...data import Transform
from ...data.resampling import WEIGHT_BITS, Interpolation, resampling_taps
from .graph import IMAGES, Graph, Value

_CHANNELS_FIRST = (0, 3, 1, 2)


def transform_pixels(graph: Graph, transform: Transform, shape: tuple[int, ...]) -> Value:
    """Append what `transform.center` does to uint8 images `[batch, height, width, channels]`.

    The pixels are equal, for the sums are integers here, too; each pass is a product with a matrix
    of weights.

    Args:
        graph: the graph, whose input has the images.
        transform: the transform.
        shape: shape of the result, `[batch, crop, crop, channels]`.
    """
    x = graph.add("Transpose", IMAGES, perm=_CHANNELS_FIRST)
    x = graph.add("Cast", x, to="int32")
    for axis in (0, 1) if transform.vertical_first else (1, 0):
        x = _resample(graph, transform, x, axis)
    x = graph.add("Cast", x, to="float32")
    std = np.asarray(transform.std, np.float64)
    scale = 1.0 / (255.0 * std)
    shift = -np.asarray(transform.mean, np.float64) / std
    for op, values in (("Mul", scale), ("Add", shift)):
        x = graph.add(op, x, graph.constant(values.astype(np.float32).reshape(-1, 1, 1)))
    return Value(x, shape, shape, channels_first=True)


def _resample(graph: Graph, transform: Transform, x: str, axis: int) -> str:
    """Resize and crop the height (axis 0) or the width (axis 1) of `[…, height, width]`."""
    source, target = transform.source[axis], transform.resized[axis]
    start = transform.centre[axis]
    stop = start + transform.crop
    if source == target:
        bounds = (graph.ints(value) for value in (start, stop, axis + 2))
        return graph.add("Slice", x, *bounds)
    weights = _weights(source, target, transform.interpolation)[start:stop]
    factors = (graph.constant(weights), x) if axis == 0 else (x, graph.constant(weights.T))
    total = graph.add("MatMul", *factors)
    # Half of the last bit that stays rounds halves up.
    total = graph.add("Add", total, graph.constant(np.array(1 << (WEIGHT_BITS - 1), np.int32)))
    pixels = graph.add("Div", total, graph.constant(np.array(1 << WEIGHT_BITS, np.int32)))
    low, high = (graph.constant(np.array(value, np.int32)) for value in (0, 255))
    return graph.add("Min", graph.add("Max", pixels, low), high)


def _weights(source: int, target: int, interpolation: Interpolation) -> np.ndarray:
    """Return the weights of a resize as a matrix, int32 `[target, source]`."""
    first, weights = resampling_taps(source, target, interpolation)
    matrix = np.zeros((target, source), np.int32)
    np.put_along_axis(matrix, first[:, None] + np.arange(weights.shape[1]), weights, axis=1)
    return matrix
