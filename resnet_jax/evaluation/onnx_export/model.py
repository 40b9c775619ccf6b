"""A network and its weights as an ONNX model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from flax import linen as nn

from ...data import Transform
from ..export import OUTPUTS, fold_once, image_sizes
from .graph import BATCH, IMAGES, Graph, Node, Value
from .pixels import transform_pixels
from .tracing import trace

OPSET = 18
"""Version of ONNX's operations; that of ONNX 1.13, of the year 2022."""


def to_onnx(
    model: nn.Module,
    variables: Mapping[str, Any],
    *,
    transform: Transform | None,
    image_shape: Sequence[int],
    output: Literal["logits", "probabilities"] = "logits",
    fold_batch_norm: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Export a network in evaluation mode, together with its weights, for batches of any size.

    The model has one input, `images`, and one output with the name of `output`. It computes in
    float32, whatever its `dtype` is. The network is traced, so that blocks, stems and other
    parts of one's own are exported, too, as far as ONNX has their operations.

    Args:
        model: the network, or one with others in its fields, such as a `FlipAveraged` one.
        variables: its `params` and `batch_stats`; they become part of the model.
        transform: transform whose `center` begins the model, which then takes uint8 images
            `[batch, height, width, channels]`; None makes a model that takes normalised float32
            images `[batch, channels, height, width]`.
        image_shape: `(height, width, channels)` of the images that the model takes.
        output: whether the model returns logits or probabilities, float32 `[batch, classes]`.
        fold_batch_norm: fold the batch normalisations into the convolutions before them; see the
            function `fold_batch_norm`.
        metadata: texts that the model carries, by name.

    Returns:
        The content of a `.onnx` file.

    Raises:
        ImportError: if the package `onnx` is not installed.
        ValueError: if the network does not take such images, or has an operation that has no form
            in ONNX.

    References:
        https://onnx.ai/onnx/operators
    """
    import onnx

    if output not in OUTPUTS:
        raise ValueError(f"`output` (={output!r}) must be one of {', '.join(OUTPUTS)}")
    graph = Graph()
    height, width, channels = image_sizes(image_shape)
    if transform is None:
        size = (BATCH, height, width, channels)
        images = Value(IMAGES, size, size, channels_first=True)
        kind, dims = "float32", ("batch", channels, height, width)
    else:
        if (*transform.source, len(transform.mean)) != (height, width, channels):
            raise ValueError(
                f"`image_shape` (={image_shape}) must be that of the transform, "
                f"{(*transform.source, len(transform.mean))}"
            )
        size = (BATCH, transform.crop, transform.crop, channels)
        images = transform_pixels(graph, transform, size)
        kind, dims = "uint8", ("batch", height, width, channels)
    network = _in_float32(model)
    if fold_batch_norm:
        network, variables = fold_once(network, variables)
    result = trace(graph, network, variables, images)
    name = graph.take(result)
    if output == "probabilities":
        name = graph.add("Softmax", name, axis=-1)
    _finish(graph, name, output)
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [_node(node) for node in graph.nodes],
            type(model).__name__,
            [onnx.helper.make_tensor_value_info(IMAGES, _kind(kind), dims)],
            [
                onnx.helper.make_tensor_value_info(
                    output, _kind("float32"), ("batch", *result.shape[1:])
                )
            ],
            [onnx.numpy_helper.from_array(a, key) for key, a in _used(graph).items()],
        ),
        producer_name="resnet_jax",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)
    onnx.helper.set_model_props(proto, dict(metadata or {}))
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def _in_float32(module: nn.Module) -> nn.Module:
    """Return a module that computes in the type of its parameters, as those in its fields do."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if field.name == "dtype":
            changed["dtype"] = None
        elif field.name != "parent" and isinstance(value, nn.Module):
            changed[field.name] = _in_float32(value)
    return module.clone(**changed)


def _finish(graph: Graph, name: str, output: str) -> None:
    """Give the result its name, and leave out the nodes that it does not depend on."""
    needed, nodes = {name}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed |= set(node.inputs)
            nodes.append(node)
    graph.nodes = [
        node._replace(
            inputs=tuple(output if used == name else used for used in node.inputs),
            output=output if node.output == name else node.output,
        )
        for node in reversed(nodes)
    ]


def _used(graph: Graph) -> dict[str, np.ndarray]:
    """Return the arrays that nodes take."""
    used = {name for node in graph.nodes for name in node.inputs}
    return {name: array for name, array in graph.constants.items() if name in used}


def _kind(name: str) -> int:
    """Return ONNX's number of a dtype."""
    import onnx

    return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name))


def _node(node: Node) -> Any:
    """Return a node in ONNX's own form; its name is that of its result."""
    import onnx

    attributes = dict(node.attributes)
    if node.op == "Cast":
        attributes["to"] = _kind(attributes["to"])
    return onnx.helper.make_node(
        node.op, node.inputs, [node.output], name=node.output, **attributes
    )
