"""From a network to a graph: JAX traces it, and each operation becomes nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend import core

from ...models import BatchNorm
from .graph import BATCH, Graph, Operand, Shape, Value, is_dynamic
from .rules import RULES

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters of primitives that call a function."""

batch_norm_p = core.Primitive("batch_normalization")
batch_norm_p.def_abstract_eval(lambda x, *statistics, epsilon: x)


def trace(graph: Graph, model: nn.Module, variables: Mapping[str, Any], images: Value) -> Value:
    """Append a network in evaluation mode to a graph; return its logits.

    Args:
        graph: the graph, of which `images` are part.
        model: the network.
        variables: its variables.
        images: normalised images, logically `[batch, height, width, channels]`.

    Raises:
        ValueError: for an operation that has no form in ONNX.
    """
    with_paths, structure = jax.tree_util.tree_flatten_with_path(variables)
    arrays = [np.asarray(leaf) for _, leaf in with_paths]
    for (path, _), array in zip(with_paths, arrays, strict=True):
        graph.name_parameter(".".join(entry.key for entry in path[1:]), array)

    def logits(leaves: Sequence[jax.Array], x: jax.Array) -> jax.Array:
        with nn.intercept_methods(_keep_batch_norm):
            return cast(jax.Array, model.apply(jax.tree.unflatten(structure, leaves), x))

    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
    x = jax.ShapeDtypeStruct(images.shape, jnp.float32)
    closed = jax.make_jaxpr(logits)(shapes, x)
    (result,) = _write(graph, closed.jaxpr, closed.consts, [*arrays, images])
    if not isinstance(result, Value):
        raise ValueError(
            "`model` cannot be written as ONNX: its logits do not depend on the images"
        )
    return result


def _keep_batch_norm(
    next_method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    """Trace a batch normalisation of images as one operation."""
    module = context.module
    if (
        type(module) is not BatchNorm
        or not module.has_variable("batch_stats", "mean")
        or context.method_name != "__call__"
        or args[0].ndim != 4
        or args[0].dtype != jnp.float32
        or module.dtype not in (None, jnp.float32)
    ):
        return next_method(*args, **kwargs)
    names = {"params": ("scale", "bias"), "batch_stats": ("mean", "var")}
    statistics: list[jax.Array] = [
        module.get_variable(kind, name) for kind in names for name in names[kind]
    ]
    return batch_norm_p.bind(args[0], *statistics, epsilon=module.epsilon)


def _write(
    graph: Graph, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Operand]
) -> list[Operand]:
    """Append the operations of a jaxpr; return its results."""
    known: dict[Any, Operand] = dict(zip(jaxpr.invars, operands, strict=True))
    known |= zip(jaxpr.constvars, map(np.asarray, consts), strict=True)

    def read(atom: Any) -> Operand:
        if 0 in atom.aval.shape:
            return np.empty(atom.aval.shape, atom.aval.dtype)
        literal = isinstance(atom, core.Literal)
        return np.asarray(atom.val, atom.aval.dtype) if literal else known[atom]

    for equation in _needed(jaxpr):
        inputs = [read(atom) for atom in equation.invars]
        shapes = [variable.aval.shape for variable in equation.outvars]
        results = _operation(graph, equation, inputs, shapes)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _needed(jaxpr: Any) -> list[Any]:
    """Return the operations of a jaxpr that its results depend on."""
    needed, equations = set(map(id, jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if any(id(made) in needed and 0 not in made.aval.shape for made in equation.outvars):
            needed |= set(map(id, equation.invars))
            equations.append(equation)
    return equations[::-1]


def _operation(
    graph: Graph, equation: Any, inputs: list[Operand], shapes: list[Shape]
) -> Sequence[Operand]:
    name, params = equation.primitive.name, equation.params
    if name == "convert_element_type" and params["new_dtype"] == equation.invars[0].aval.dtype:
        return inputs
    if name == "platform_index":
        return [np.zeros((), np.int32)]
    if name == "cond" and params.get("branches_platforms") is not None:
        # The variant of all platforms that have none of their own.
        branch = params["branches"][params["branches_platforms"].index(None)]
        return _write(graph, branch.jaxpr, branch.consts, inputs[1:])
    inner = next((params[key] for key in _INNER if key in params), None)
    if inner is not None and name not in ("while", "scan"):
        closed = inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ())
        return _write(graph, closed.jaxpr, closed.consts, inputs)
    if all(isinstance(operand, np.ndarray) for operand in inputs) and not any(
        is_dynamic(size) for shape in shapes for size in shape
    ):
        results = equation.primitive.bind(*inputs, **params)
        results = results if equation.primitive.multiple_results else [results]
        arrays = [np.asarray(result) for result in results]
        if name in ("reshape", "squeeze", "broadcast_in_dim"):
            graph.keep_name(arrays[0], np.asarray(inputs[0]))
        return arrays
    rule = RULES.get(name)
    if rule is None or len(shapes) != 1:
        raise ValueError(f"`model` cannot be written as ONNX: it contains the operation {name!r}")
    for operand in inputs:
        if (
            isinstance(operand, np.ndarray)
            and operand.ndim == 0
            and operand % BATCH == 0 != operand
        ):
            raise ValueError("`model` cannot be written as ONNX: it counts the images of the batch")
    return [rule(graph, shapes[0], *inputs, **params)]
