"""The convolution against XLA's own: values, gradients, transformations, platforms, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rounding import assert_sums_close

from resnet_jax.ops import conv2d


def plain(x, kernel, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        stride,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def value_and_gradients(function, x, kernel, g):
    y, pullback = jax.vjp(function, x, kernel)
    return y, *pullback(g)


def operands(x, kernel, **options):
    """The images, the kernel and a random gradient for the output."""
    y = jax.eval_shape(partial(plain, **options), x, kernel)
    return x, kernel, normal(*y.shape, seed=9, dtype=y.dtype)


def expected(*operands, **options):
    """Values and gradients of the plain convolution, and the absolute sums of their products."""
    compute = jax.jit(partial(value_and_gradients, partial(plain, **options)))
    return compute(*operands), compute(*map(jnp.abs, operands))


def assert_like_plain(x, kernel, **options):
    given = operands(x, kernel, **options)
    ours = jax.jit(partial(value_and_gradients, partial(conv2d, **options)))(*given)
    for one, other, magnitude in zip(ours, *expected(*given, **options), strict=True):
        assert one.dtype == other.dtype == x.dtype
        assert_sums_close(one, other, magnitude)


@st.composite
def convolutions(draw):
    small = partial(st.integers, 1)
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    size = (draw(small(3)), draw(small(3)))
    options = {
        "stride": (draw(small(3)), draw(small(3))),
        "padding": (draw(st.integers(0, 3)), draw(st.integers(0, 3))),
        "dilation": (draw(small(2)), draw(small(2))),
        "groups": groups,
    }
    sides = [
        max(1, draw(st.integers(3, 9)) - 2 * pad, step * (side - 1) + 1 - 2 * pad)
        for side, pad, step in zip(size, options["padding"], options["dilation"], strict=True)
    ]
    inner, outer = draw(small(3)), draw(small(3))
    return (draw(small(6)), *sides, inner * groups), (*size, inner, outer * groups), options


@settings(max_examples=12, deadline=None, derandomize=True)
@given(convolutions())
@example(((8, 7, 9, 4), (3, 3, 4, 6), {"stride": (2, 2)}))
@example(((6, 6, 6, 8), (1, 1, 8, 4), {"stride": (2, 2), "padding": (0, 0)}))
@example(((4, 6, 6, 64), (3, 3, 2, 64), {"groups": 32}))
@example(((2, 13, 12, 3), (7, 7, 3, 4), {"stride": (2, 2), "padding": (3, 3)}))
@example(((2, 12, 11, 2), (5, 7, 2, 3), {"stride": (2, 1), "padding": (0, 3)}))
@example(((2, 9, 14, 1), (6, 5, 1, 3), {"stride": (3, 5), "padding": (2, 1)}))
@example(((2, 9, 8, 4), (3, 3, 2, 8), {"stride": (2, 2), "groups": 2}))
@example(((2, 9, 8, 2), (3, 2, 2, 3), {"stride": (2, 3), "dilation": (2, 2)}))
@example(((2, 11, 9, 2), (4, 4, 2, 3), {"stride": (6, 4), "dilation": (2, 3)}))
@example(((2, 7, 6, 2), (1, 2, 2, 3), {"stride": (3, 3), "padding": (0, 0)}))
@example(((2, 4, 3, 2), (2, 2, 2, 3), {"stride": (2, 1), "padding": (3, 4)}))
def test_float64_values_and_gradients_are_those_of_lax(case):
    x_shape, kernel_shape, options = case
    with jax.enable_x64(True):
        x = normal(*x_shape, dtype=np.float64)
        kernel = normal(*kernel_shape, seed=1, dtype=np.float64)
        assert_like_plain(x, kernel, **options)


LAYERS = {
    "stem": ((8, 22, 22, 3), (7, 7, 3, 16), {"stride": (2, 2), "padding": (3, 3)}),
    "chunked": ((12, 28, 28, 64), (3, 3, 64, 64), {}),
    "dilated": ((4, 7, 7, 96), (3, 3, 96, 96), {"dilation": (2, 2), "padding": (2, 2)}),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_float32_layers_of_a_resnet(layer):
    x_shape, kernel_shape, options = LAYERS[layer]
    assert_like_plain(normal(*x_shape), normal(*kernel_shape, seed=1), **options)


def without_a_tap(x, kernel, **options):
    return plain(x, kernel.at[0, 0].set(0), **options)


def slightly_scaled(x, kernel, **options):
    return plain(x, kernel, **options) * (1 + 1e-4)


def rounded_to_bfloat16(x, kernel, **options):
    x, kernel = (a.astype(jnp.bfloat16).astype(a.dtype) for a in (x, kernel))
    return plain(x, kernel, **options)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("wrong", [without_a_tap, slightly_scaled, rounded_to_bfloat16])
def test_the_comparison_notices_wrong_values_and_gradients(layer, wrong):
    x_shape, kernel_shape, options = LAYERS[layer]
    given = operands(normal(*x_shape), normal(*kernel_shape, seed=1), **options)
    results = jax.jit(partial(value_and_gradients, partial(wrong, **options)))(*given)
    for one, other, magnitude in zip(results, *expected(*given, **options), strict=True):
        with pytest.raises(AssertionError, match="more than 8 roundings"):
            assert_sums_close(one, other, magnitude)


def test_bfloat16_stays_bfloat16():
    given = operands(normal(4, 6, 6, 8), normal(3, 3, 8, 8, seed=1))
    half = tuple(a.astype(jnp.bfloat16) for a in given)
    full = (a.astype(jnp.float32) for a in half)
    ours = value_and_gradients(conv2d, *half)
    for one, other, magnitude in zip(ours, *expected(*full), strict=True):
        assert one.dtype == jnp.bfloat16
        assert_sums_close(one, other, magnitude, roundings=1)


@pytest.mark.parametrize(
    ("size", "options"),
    [(3, {}), (1, {"padding": (0, 0)}), (3, {"groups": 4}), (3, {"stride": (2, 2)})],
    ids=["3x3", "1x1", "grouped", "strided"],
)
def test_a_batch_split_over_devices_and_mapped(size, options):
    x, kernel = normal(8, 5, 5, 8), normal(size, size, 8 // options.get("groups", 1), 8, seed=1)

    def loss(convolution, kernel, x):
        return (convolution(x, kernel, **options) ** 2).sum()

    ours = jax.grad(partial(loss, conv2d))
    theirs = jax.grad(partial(loss, plain))
    magnitude = theirs(jnp.abs(kernel), jnp.abs(x))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("data")
    sharded = jax.jit(ours)(kernel, jax.device_put(x, NamedSharding(mesh, split)))
    by_shard = jax.jit(
        jax.shard_map(
            jax.grad(lambda kernel, x: lax.psum(loss(conv2d, kernel, x), "data")),
            mesh=mesh,
            in_specs=(PartitionSpec(), split),
            out_specs=PartitionSpec(),
        )
    )(kernel, x)
    parts = x.reshape(4, 2, *x.shape[1:])
    by_vmap = jax.vmap(ours, in_axes=(None, 0))(kernel, parts).sum(0)
    kernels = jnp.stack([kernel, 2 * kernel])
    both = jax.vmap(partial(conv2d, **options))(parts[:2], kernels)
    twice = [plain(f(parts[1]), 2 * f(kernel), **options) for f in (jnp.positive, jnp.abs)]
    assert_sums_close(both[1], *twice)
    for gradient in (sharded, by_shard, by_vmap):
        assert_sums_close(gradient, theirs(kernel, x), magnitude)


@pytest.mark.parametrize("size", [1, 3])
def test_second_derivatives_in_reverse_mode(size):
    padding = (size // 2, size // 2)

    def penalty(convolution, kernel, x):
        def loss(kernel):
            return (convolution(x, kernel, padding=padding) ** 3).sum()

        return (jax.grad(loss)(kernel) ** 2).sum()

    with jax.enable_x64(True):
        x = normal(2, 4, 4, 3, dtype=np.float64)
        kernel = normal(size, size, 3, 2, seed=1, dtype=np.float64)
        ours, theirs = (jax.grad(partial(penalty, f)) for f in (conv2d, plain))
        magnitude = theirs(jnp.abs(kernel), jnp.abs(x))
        assert_sums_close(ours(kernel, x), theirs(kernel, x), magnitude)


def test_other_platforms_get_the_plain_convolution():
    x, kernel = jnp.zeros((4, 8, 8, 8)), jnp.zeros((1, 1, 8, 8))
    given = operands(x, kernel, padding=(0, 0))
    gradients = jax.jit(partial(value_and_gradients, partial(conv2d, padding=(0, 0))))
    everywhere = jax.export.export(gradients, platforms=("cpu", "cuda", "tpu"))(*given)
    assert everywhere.platforms == ("cpu", "cuda", "tpu")
    assert jnp.abs(everywhere.call(*given)[0]).max() == 0
    for platforms in (("cuda",), ("tpu",)):
        text = jax.export.export(gradients, platforms=platforms)(*given).mlir_module()
        assert text.count("stablehlo.convolution") == 3
        assert "stablehlo.dot_general" not in text


def test_an_unused_gradient_is_not_computed():
    x, kernel = jnp.zeros((4, 8, 8, 8)), jnp.zeros((3, 3, 8, 8))

    def loss(x, kernel):
        return conv2d(x, kernel).sum()

    def flops(argument):
        return jax.jit(jax.grad(loss, argument)).lower(x, kernel).compile().cost_analysis()["flops"]

    both = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile().cost_analysis()["flops"]
    assert max(flops(0), flops(1)) < 0.75 * both


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "options", "message"),
    [
        ((4, 4, 3), (3, 3, 3, 8), {}, "`x` .* must be \\[batch"),
        ((1, 4, 4, 3), (3, 3, 3), {}, "`kernel` .* must be \\[height"),
        ((1, 4, 4, 3), (3, 3, 3, 8), {"stride": (0, 1)}, "`stride` \\(=\\(0, 1\\)\\)"),
        ((1, 4, 4, 3), (3, 3, 3, 8), {"padding": (-1, 1)}, "`padding`"),
        ((1, 4, 4, 3), (3, 3, 3, 8), {"groups": 0}, "`groups` \\(=0\\)"),
        ((1, 4, 4, 3), (3, 3, 3, 8), {"groups": 2}, "channels of `x` \\(=3\\)"),
        ((1, 4, 4, 4), (3, 3, 2, 7), {"groups": 2}, "features of `kernel` \\(=7\\)"),
        ((1, 4, 4, 4), (3, 3, 4, 8), {"groups": 2}, "must have 2 input channels"),
        ((1, 4, 4, 3), (3, 3, 3, 8), {"dilation": (4, 1)}, "height of `x` \\(=4\\)"),
    ],
)
def test_wrong_arguments_are_named(x_shape, kernel_shape, options, message):
    with pytest.raises(ValueError, match=message):
        conv2d(jnp.zeros(x_shape), jnp.zeros(kernel_shape), **options)


def test_mixed_dtypes_are_refused():
    with pytest.raises(ValueError, match="must have one dtype"):
        conv2d(jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 3, 8), jnp.bfloat16))
