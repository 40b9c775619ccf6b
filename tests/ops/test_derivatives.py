"""Derivatives of every order and mode, with and without `jit`, against JAX's own operations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from resnet_jax.ops import batch_norm_train, conv2d, countable_flops, max_pool


def plain_convolution(x, kernel, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        stride,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def plain_norm(x, scale, bias):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    row = (1, 1, 1, -1)
    factor = (scale / jnp.sqrt(var + 1e-5)).reshape(row)
    return (x - mean.reshape(row)) * factor + bias.reshape(row)


def plain_pool(x):
    sides = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), sides)


def both(function, plain, **options):
    return partial(function, **options), partial(plain, **options)


OPERATIONS = {
    "3x3": (*both(conv2d, plain_convolution), (4, 5, 5, 4), (3, 3, 4, 6)),
    "1x1": (*both(conv2d, plain_convolution, padding=(0, 0)), (4, 5, 5, 4), (1, 1, 4, 6)),
    "grouped": (*both(conv2d, plain_convolution, groups=2), (4, 5, 5, 4), (3, 3, 2, 6)),
    "strided": (*both(conv2d, plain_convolution, stride=(2, 2)), (4, 6, 6, 4), (3, 3, 4, 6)),
    "small": (*both(conv2d, plain_convolution), (4, 2, 2, 4), (3, 3, 4, 6)),
    "norm": (lambda *a: batch_norm_train(*a)[0], plain_norm, (4, 3, 3, 2), (2,), (2,)),
    "pool": (max_pool, plain_pool, (2, 6, 6, 3)),
}


def numbers(shapes, seed=0):
    random = np.random.default_rng(seed)
    return tuple(jnp.asarray(random.standard_normal(shape)) for shape in shapes)


def loss(function, *operands):
    return (function(*operands) ** 3).sum()


def grad(function, count):
    return jax.grad(partial(loss, function), tuple(range(count)))


def inner(one, two):
    return sum((a * b).sum() for a, b in zip(one, two, strict=True))


def tangent(function, operands, along):
    return jax.jvp(function, operands, along)


def linearized(function, operands, along):
    y, apply = jax.linearize(function, *operands)
    return y, apply(*along)


def forward_over_reverse(function, operands, along):
    return jax.jvp(grad(function, len(operands)), operands, along)


def reverse_over_forward(function, operands, along):
    def slope(*operands):
        return jax.jvp(partial(loss, function), operands, along)[1]

    return jax.grad(slope, tuple(range(len(operands))))(*operands)


def reverse_over_reverse(function, operands, along):
    def slope(*operands):
        return inner(grad(function, len(operands))(*operands), along)

    return jax.grad(slope, tuple(range(len(operands))))(*operands)


def forward_over_forward(function, operands, along):
    def slope(*operands):
        return jax.jvp(partial(loss, function), operands, along)[1]

    return jax.jvp(slope, operands, along)


def mapped(function, operands, along):
    """Along several directions at once, as `jacfwd` goes."""
    several = tuple(jnp.stack([a, 2 * a]) for a in along)
    return jax.vmap(lambda *along: jax.jvp(grad(function, len(operands)), operands, along)[1])(
        *several
    )


def gradients_mapped(function, operands, along):
    """The gradients of several examples, as for a penalty on each of them."""
    several = jax.tree.map(lambda *pair: jnp.stack(pair), operands, along)
    return jax.vmap(lambda *operands: grad(function, len(operands))(*operands))(*several)


def gradient_of_mapped(function, operands, along):
    """The gradients of an ensemble, which shares its first operand."""
    rest = jax.tree.map(lambda *pair: jnp.stack(pair), operands[1:], along[1:])

    def total(first, *rest):
        return jax.vmap(partial(loss, function), in_axes=(None, *[0] * len(rest)), axis_size=2)(
            first, *rest
        ).sum()

    return jax.grad(total, tuple(range(len(operands))))(operands[0], *rest)


MODES = {
    mode.__name__: mode
    for mode in (
        tangent,
        linearized,
        forward_over_reverse,
        reverse_over_forward,
        reverse_over_reverse,
        forward_over_forward,
        mapped,
        gradients_mapped,
        gradient_of_mapped,
    )
}


def assert_close(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1.0, float(jnp.abs(b).max())))


# JAX cannot transpose the tangent of its own pooling, so that this one is compared otherwise below.
CASES = [
    (name, mode)
    for name in OPERATIONS
    for mode in MODES
    if (name, mode) != ("pool", "reverse_over_forward")
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_mode_gives_what_it_gives_of_jax_own(name, mode):
    function, plain, *shapes = OPERATIONS[name]
    with jax.enable_x64(True):
        operands, along = numbers(shapes), numbers(shapes, seed=1)
        ours = jax.jit(partial(MODES[mode], function))(operands, along)
        assert_close(ours, jax.jit(partial(MODES[mode], plain))(operands, along))


def test_the_orders_of_differentiation_agree_for_pooling():
    with jax.enable_x64(True):
        operands, along = numbers([(2, 6, 6, 3)]), numbers([(2, 6, 6, 3)], seed=1)
        one = reverse_over_forward(max_pool, operands, along)
        assert_close(one, forward_over_reverse(max_pool, operands, along)[1])


def test_ties_in_a_window_go_to_the_first_pixel_in_forward_mode_too():
    x, along = jnp.zeros((1, 2, 2, 1)), jnp.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    assert jax.jvp(max_pool, (x,), (along,))[1].item() == 1.0


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_jit(name):
    function, _, *shapes = OPERATIONS[name]
    with jax.enable_x64(True):
        operands, along = numbers(shapes), numbers(shapes, seed=1)
        compiled = jax.jit(partial(forward_over_reverse, function))(operands, along)
        with jax.disable_jit():
            assert_close(forward_over_reverse(function, operands, along), compiled)


def test_a_norm_shared_by_devices_in_forward_mode():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("data"), PartitionSpec()
    shapes = (8, 3, 3, 2), (2,), (2,)

    def of_shard(operands, along):
        def shared(*operands):
            return batch_norm_train(*operands, axis_name="data")[0]

        def slope(*operands):
            return lax.psum(loss(shared, *operands), "data")

        change = jax.jvp(shared, operands, along)[1]
        return change, jax.jvp(jax.grad(slope, (0, 1, 2)), operands, along)[1]

    specs = (split, whole, whole)
    mapped = jax.shard_map(of_shard, mesh=mesh, in_specs=(specs, specs), out_specs=(split, specs))
    with jax.enable_x64(True):
        operands, along = numbers(shapes), numbers(shapes, seed=1)
        change, second = jax.jit(mapped)(operands, along)
        assert_close(change, jax.jvp(plain_norm, operands, along)[1])
        assert_close(second, forward_over_reverse(plain_norm, operands, along)[1])


def test_a_norm_shared_over_a_mapped_axis():
    """As devices share it, on one device."""

    def of_share(*operands):
        def total(*operands):
            shared = partial(batch_norm_train, axis_name="shares")
            return loss(lambda *operands: shared(*operands)[0], *operands)

        gradients = jax.grad(total, (0, 1, 2))(*operands)
        return gradients[0], *jax.lax.psum(gradients[1:], "shares")

    with jax.enable_x64(True):
        x, scale, bias = numbers([(8, 3, 3, 2), (2,), (2,)])
        shares = x.reshape(4, 2, *x.shape[1:])
        ours = jax.vmap(of_share, in_axes=(0, None, None), axis_name="shares")(shares, scale, bias)
        theirs = grad(plain_norm, 3)(x, scale, bias)
        assert_close(ours[0].reshape(x.shape), theirs[0])
        for one, two in zip(ours[1:], theirs[1:], strict=True):
            assert_close(one, jnp.stack([two] * 4))


@pytest.mark.parametrize("name", ["3x3", "1x1", "grouped", "strided"])
def test_the_operations_of_a_convolution_are_counted(name):
    function, plain, *shapes = OPERATIONS[name]
    operands = tuple(jnp.zeros(shape, jnp.float32) for shape in shapes)

    def flops(function):
        return jax.jit(function).lower(*operands).cost_analysis()["flops"]

    with countable_flops():
        assert flops(function) == flops(plain) > 0
        assert flops(grad(function, 2)) > 2 * flops(function)
