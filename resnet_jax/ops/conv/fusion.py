"""Functions whose convolutions take on the bias, the residual sum and the ReLU behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.extend import core

from .fused import fused_convolution_p
from .primitives import convolution_p

Result = TypeVar("Result")


def fuse_convolutions(function: Callable[..., Result]) -> Callable[..., Result]:
    """Return the same function with fused convolutions.

    A convolution takes on the addition of a bias `[1, 1, 1, features]`, the addition of a map of
    its own shape, and `jax.nn.relu`, as far as they follow on it in this order and nothing else
    reads what lies between. One without a bias stays as it is.

    Args:
        function: a function of trees of arrays that JAX can trace, such as `model.apply`.

    >>> import jax.numpy as jnp
    >>> from resnet_jax.ops import conv2d
    >>> def block(x, kernel, bias):
    ...     return jax.nn.relu(conv2d(x, kernel) + bias[None, None, None, :] + x)
    >>> x, kernel = jnp.ones((1, 4, 4, 8)), jnp.ones((3, 3, 8, 8))
    >>> traced = jax.make_jaxpr(fuse_convolutions(block))(x, kernel, jnp.ones(8))
    >>> [equation.primitive.name for equation in traced.eqns]
    ['broadcast_in_dim', 'fused_convolution']
    """

    @wraps(function)
    def fused(*args: Any) -> Result:
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        rewritten = traced.replace(jaxpr=_rewrite(traced.jaxpr))
        results = core.jaxpr_as_fun(rewritten)(*jax.tree.leaves(args))
        tree: Result = jax.tree.unflatten(jax.tree.structure(shapes), results)
        return tree

    return fused


class _Chain(NamedTuple):
    """A convolution and what it takes on.

    Attributes:
        convolution: the equation.
        absorbed: the numbers of the equations that follow on it.
        bias: the variable of the bias.
        addend: the map that is added, if any.
        relu: whether negative results become 0.
    """

    convolution: Any
    absorbed: tuple[int, ...]
    bias: Any
    addend: Any = None
    relu: bool = False


def _rewrite(jaxpr: Any) -> Any:
    """Return a jaxpr with fused convolutions, those of inner functions among them."""
    uses = Counter(
        atom
        for atoms in (*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars)
        for atom in atoms
        if not isinstance(atom, core.Literal)
    )
    readers = {
        atom: number
        for number, equation in enumerate(jaxpr.eqns)
        for atom in equation.invars
        if not isinstance(atom, core.Literal) and uses[atom] == 1
    }
    fused: dict[int, _Chain] = {}
    gone: set[int] = set()
    for number, equation in enumerate(jaxpr.eqns):
        if equation.primitive is not convolution_p:
            continue
        chain = _follow(jaxpr, equation, readers, gone | fused.keys())
        if chain is not None:
            gone |= {number, *chain.absorbed[:-1]}
            fused[chain.absorbed[-1]] = chain
    equations = [
        _merge(fused[number], equation) if number in fused else _within(equation)
        for number, equation in enumerate(jaxpr.eqns)
        if number not in gone
    ]
    return jaxpr.replace(eqns=equations)


def _follow(jaxpr: Any, equation: Any, readers: dict[Any, int], taken: set[int]) -> _Chain | None:
    """Return a convolution with what it can take on, None if it has no bias."""
    chain: _Chain | None = None
    (y,) = equation.outvars
    while (number := readers.get(y)) is not None and number not in taken:
        reader = jaxpr.eqns[number]
        others = [atom for atom in reader.invars if atom is not y]
        is_sum = reader.primitive.name == "add" and len(others) == 1
        shape = others[0].aval.shape if is_sum else None
        if chain is None:
            if shape != (1, 1, 1, y.aval.shape[-1]):
                return None
            chain = _Chain(equation, (number,), others[0])
        elif is_sum and shape == y.aval.shape and chain.addend is None and not chain.relu:
            absorbed = (*chain.absorbed, number)
            chain = chain._replace(absorbed=absorbed, addend=others[0])
        elif _is_relu(reader) and not chain.relu:
            chain = chain._replace(absorbed=(*chain.absorbed, number), relu=True)
        else:
            return chain
        (y,) = reader.outvars
    return chain


def _is_relu(equation: Any) -> bool:
    """Return whether an equation is a call of `jax.nn.relu`."""
    if equation.primitive.name != "custom_jvp_call":
        return False
    inner = equation.params["call_jaxpr"].jaxpr
    while len(inner.eqns) == 1 and "jaxpr" in inner.eqns[0].params:
        inner = inner.eqns[0].params["jaxpr"].jaxpr
    if len(inner.eqns) != 1 or inner.eqns[0].primitive.name != "max":
        return False
    return any(
        isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and atom.val == 0
        for atom in inner.eqns[0].invars
    )


def _merge(chain: _Chain, last: Any) -> Any:
    """Return the equation of a fused convolution, whose result is that of the last one."""
    operands = [*chain.convolution.invars, chain.bias]
    return chain.convolution.replace(
        primitive=fused_convolution_p,
        invars=operands if chain.addend is None else [*operands, chain.addend],
        outvars=last.outvars,
        params={**chain.convolution.params, "relu": chain.relu},
    )


def _within(equation: Any) -> Any:
    """Return an equation with fused convolutions in the function that it calls, if any."""
    inner = equation.params.get("jaxpr")
    if isinstance(inner, core.ClosedJaxpr):
        inner = inner.replace(jaxpr=_rewrite(inner.jaxpr))
    elif isinstance(inner, core.Jaxpr):
        inner = _rewrite(inner)
    else:
        return equation
    return equation.replace(params={**equation.params, "jaxpr": inner})
