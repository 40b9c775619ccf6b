"""Batch normalisations folded into the convolutions before them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .graph import Graph


def fold_batch_norm(graph: Graph) -> None:
    """Replace each convolution and the batch normalisation behind it by one convolution.

    With the scale γ, the bias β and the running statistics, the new kernel is the old one times
    γ / sqrt(var + ε) of each output channel, and the new bias is β - mean · γ / sqrt(var + ε). A
    normalisation that is not directly behind a convolution of its own stays.

    Args:
        graph: changed in place.
    """
    makers = {node.output: node for node in graph.nodes}
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    folded, gone = {}, set()
    for norm in graph.nodes:
        conv = makers.get(norm.inputs[0]) if norm.op == "BatchNormalization" else None
        if conv is None or conv.op != "Conv" or uses[conv.output] > 1:
            continue
        names = (conv.inputs[1], *norm.inputs[1:])
        if not graph.constants.keys() >= set(names) or uses[names[0]] > 1:
            continue
        kernel, scale, bias, mean, var = (
            graph.constants[name].astype(np.float64) for name in names
        )
        factor = scale / np.sqrt(var + norm.attributes["epsilon"])
        kernel_name, bias_name = names[0], f"{names[0]}.bias"
        graph.constants[kernel_name] = (kernel * factor[:, None, None, None]).astype(np.float32)
        graph.constants[bias_name] = (bias - mean * factor).astype(np.float32)
        folded[conv.output] = conv._replace(
            inputs=(*conv.inputs[:2], bias_name), output=norm.output
        )
        gone.add(norm.output)
    graph.nodes = [folded.get(node.output, node) for node in graph.nodes if node.output not in gone]
