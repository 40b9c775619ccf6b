"""Linear functions whose transposes are written by hand, with derivatives of every order.

`jax.custom_vjp` has hand-written transposes too, but excludes forward mode. A linear function here
is the tangent of a `jax.custom_jvp`; reverse mode then transposes it by the hand-written rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Arrays = Sequence[jax.Array]
Function = Callable[..., Arrays]
"""Called as `function(*static, residuals, operands)`; linear in the operands."""


class Linear(NamedTuple):
    """A linear function and its transpose, for the same residuals.

    Attributes:
        forward: the function, of JAX operations that have derivatives themselves.
        transpose: the transpose, likewise.
        static: hashable arguments that both take first.
    """

    forward: Function
    transpose: Function
    static: tuple[Any, ...] = ()

    @property
    def transposed(self) -> Linear:
        """The transpose as a linear function, whose transpose is this one."""
        return Linear(self.transpose, self.forward, self.static)


linear_p = Primitive("linear")
linear_p.multiple_results = True


def apply(linear: Linear, residuals: Arrays, operands: Arrays, like: Arrays) -> list[jax.Array]:
    """Apply a linear function.

    Args:
        linear: the function and its transpose.
        residuals: what both depend on otherwise.
        operands: what they are linear in.
        like: arrays of the shapes and types of the results.
    """
    results = tuple(jax.typeof(array) for array in like)
    return linear_p.bind(*residuals, *operands, linear=linear, count=len(residuals), like=results)


def _compute(*arrays: jax.Array, linear: Linear, count: int, like: tuple[Any, ...]) -> Arrays:
    del like
    return linear.forward(*linear.static, arrays[:count], arrays[count:])


def _jvp(
    primals: Arrays, tangents: Sequence[Any], *, linear: Linear, count: int, like: tuple[Any, ...]
) -> tuple[Arrays, Arrays]:
    residuals, operands = primals[:count], primals[count:]
    options = {"linear": linear, "count": count, "like": like}
    moving = [index for index in range(count) if type(tangents[index]) is not ad.Zero]
    results = linear_p.bind(*primals, **options)
    changes = [ad.instantiate_zeros(tangent) for tangent in tangents[count:]]
    slopes = linear_p.bind(*residuals, *changes, **options)
    if moving:

        def of_residuals(*some: jax.Array) -> Arrays:
            every = dict(enumerate(residuals)) | dict(zip(moving, some, strict=True))
            return linear.forward(*linear.static, tuple(every.values()), operands)

        at, along = ([values[index] for index in moving] for values in (residuals, tangents))
        slopes = map(ad.add_jaxvals, slopes, jax.jvp(of_residuals, at, along)[1])
    return results, list(slopes)


def _transpose(
    cotangents: Sequence[Any], *arrays: Any, linear: Linear, count: int, like: tuple[Any, ...]
) -> list[Any]:
    residuals, operands = arrays[:count], arrays[count:]
    given = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    shapes = tuple(
        operand.aval if ad.is_undefined_primal(operand) else jax.typeof(operand)
        for operand in operands
    )
    results = linear_p.bind(*residuals, *given, linear=linear.transposed, count=count, like=shapes)
    # An operand that is known is a tangent of zero.
    return [None] * count + [
        result if ad.is_undefined_primal(operand) else None
        for result, operand in zip(results, operands, strict=True)
    ]


class _Mapped(NamedTuple):
    """A linear function over a mapped axis, which is the first of all operands and results."""

    linear: Linear
    axes: tuple[int | None, ...]
    size: int
    axis_name: Any

    def forward(self, residuals: Arrays, operands: Arrays) -> Arrays:
        return self._map(self.linear, residuals, operands)

    def transpose(self, residuals: Arrays, operands: Arrays) -> Arrays:
        return self._map(self.linear.transposed, residuals, operands)

    def _map(self, linear: Linear, residuals: Arrays, operands: Arrays) -> Arrays:
        function = partial(linear.forward, *linear.static)
        # A reduction inside may name the axis.
        options = {"axis_size": self.size, "axis_name": self.axis_name}
        mapped = jax.vmap(function, in_axes=(list(self.axes), 0), **options)
        return mapped(list(residuals), list(operands))


def _batch(
    axis: Any,
    arrays: Arrays,
    axes: Sequence[int | None],
    *,
    linear: Linear,
    count: int,
    like: tuple[Any, ...],
) -> tuple[Arrays, list[int]]:
    """Apply the function over a mapped axis, by a linear function that keeps the transpose."""
    first = [
        array if at is None else jnp.moveaxis(array, at, 0)
        for array, at in zip(arrays, axes, strict=True)
    ]
    operands = [
        jnp.broadcast_to(array, (axis.size, *array.shape)) if at is None else array
        for array, at in zip(first[count:], axes[count:], strict=True)
    ]
    residual_axes = tuple(None if at is None else 0 for at in axes[:count])
    mapped = _Mapped(linear, residual_axes, axis.size, axis.name)
    results = linear_p.bind(
        *first[:count],
        *operands,
        linear=Linear(_Mapped.forward, _Mapped.transpose, (mapped,)),
        count=count,
        like=tuple(aval.update(shape=(axis.size, *aval.shape)) for aval in like),
    )
    return results, [0] * len(results)


linear_p.def_impl(_compute)
linear_p.def_abstract_eval(lambda *_, like, **__: list(like))
ad.primitive_jvps[linear_p] = _jvp
ad.primitive_transposes[linear_p] = _transpose
# Unlike `primitive_batchers`, these are told the name of the axis.
batching.fancy_primitive_batchers[linear_p] = _batch
mlir.register_lowering(linear_p, mlir.lower_fun(_compute, multiple_results=True))
