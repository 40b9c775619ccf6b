"""Where the batch normalisations of a network are, and which convolutions lie before them."""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.extend import core

from .layers import BatchNorm, Conv

Path = tuple[str, ...]
"""The names of a module and of those around it, as in its variables."""

_CONV, _NORM = (inspect.unwrap(layer.__call__) for layer in (Conv, BatchNorm))


class NormPlace(NamedTuple):
    """A batch normalisation.

    Attributes:
        epsilon: what it adds to the variance.
        conv: path of the convolution that it alone follows, each time; None if there is none.
    """

    epsilon: float
    conv: Path | None


class _Mark(NamedTuple):
    """The module that an array comes from, or goes to.

    Attributes:
        path: its path.
        epsilon: that of a normalisation; None for a convolution.
    """

    path: Path
    epsilon: float | None = None


mark_p = core.Primitive("mark")
"""Mark the result of a convolution, or the input of a normalisation."""
mark_p.def_abstract_eval(lambda x, *, mark: x)


def is_conv(context: nn.module.InterceptorContext) -> bool:
    """Return whether the method that is called is that of `Conv`, perhaps from a subclass."""
    return _function_of(context) is _CONV


def is_norm(context: nn.module.InterceptorContext) -> bool:
    """Return whether the method that is called is that of `BatchNorm`, perhaps from a subclass."""
    return _function_of(context) is _NORM


def _function_of(context: nn.module.InterceptorContext) -> Any:
    """Return the function that is called, which Flax binds to the module by `partial`."""
    return getattr(context.orig_method, "func", None)


def find_norms(model: nn.Module, variables: Mapping[str, Any]) -> dict[Path, NormPlace]:
    """Return the batch normalisations of a network by their paths.

    Args:
        model: the network, called as `model(x, train=False)`.
        variables: its variables, whose shapes alone matter.
    """

    def run(variables: Mapping[str, Any], x: Array) -> Any:
        with nn.intercept_methods(_mark):
            return model.apply(variables, x, train=False)

    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    before: dict[Path, set[Path | None]] = defaultdict(set)
    after: dict[Path, set[Path | None]] = defaultdict(set)
    epsilons: dict[Path, float] = {}
    for conv, norm in _neighbours(jax.make_jaxpr(run)(shapes, image).jaxpr):
        if norm is not None and norm.epsilon is not None:
            before[norm.path].add(None if conv is None else conv.path)
            epsilons[norm.path] = norm.epsilon
        if conv is not None:
            after[conv.path].add(None if norm is None else norm.path)
    places = {}
    for path, epsilon in epsilons.items():
        found, *others = before[path]
        alone = found is not None and not others and after[found] == {path}
        places[path] = NormPlace(epsilon, found if alone else None)
    return places


def _mark(
    next_method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    """Mark what a convolution returns; leave out a batch normalisation, and mark its input."""
    scope = context.module.scope
    if scope is not None and is_conv(context):
        kernel: Array = context.module.get_variable("params", "kernel")
        return mark_p.bind(
            next_method(_with_channels(args[0], kernel.shape[2] * context.module.groups)),
            mark=_Mark(scope.path),
        )
    if scope is not None and is_norm(context):
        return mark_p.bind(args[0], mark=_Mark(scope.path, context.module.epsilon))
    return next_method(*args, **kwargs)


def _with_channels(x: Array, channels: int) -> Array:
    """Return a map with as many channels: the image may have others than 3."""
    if x.shape[-1] == channels:
        return x
    return jnp.broadcast_to(x[..., :1], (*x.shape[:-1], channels))


def _neighbours(jaxpr: Any) -> Iterator[tuple[_Mark | None, _Mark | None]]:
    """Yield each convolution with the normalisation that alone reads its result, and the rest."""
    uses = Counter(
        atom
        for atoms in (*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars)
        for atom in atoms
        if not isinstance(atom, core.Literal)
    )
    convs: dict[Any, _Mark] = {}
    for equation in jaxpr.eqns:
        for inner in core.jaxprs_in_params(equation.params):
            yield from _neighbours(inner)
        if equation.primitive is not mark_p:
            continue
        mark = equation.params["mark"]
        if mark.epsilon is None:
            convs[equation.outvars[0]] = mark
        else:
            (x,) = equation.invars
            yield (convs.pop(x, None) if uses[x] == 1 else None), mark
    for mark in convs.values():
        yield mark, None
