"""Convolutions that take on a bias, a sum and ReLU: what they take on, and that they compute it."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from rounding import assert_sums_close

from resnet_jax.ops import conv2d, cpu_lowering, fuse_convolutions

from .test_conv import normal, plain

X, KERNEL, BIAS = normal(3, 6, 7, 16), normal(3, 3, 16, 16, seed=1), normal(16, seed=2)


@pytest.fixture(params=["0", "auto"], ids=["portable", "oneDNN"])
def lowering(request, monkeypatch):
    """Let convolutions be lowered in each way, oneDNN's where it works."""
    monkeypatch.setenv("RESNET_JAX_ONEDNN", request.param)
    if request.param == "auto" and cpu_lowering().name != "onednn":
        pytest.skip(str(cpu_lowering()))
    jax.clear_caches()
    yield cpu_lowering().name
    jax.clear_caches()


def block(x, kernel, bias, addend=None, *, relu=True, conv=conv2d, **options):
    y = conv(x, kernel, **options) + bias[None, None, None, :]
    y = y if addend is None else y + addend
    return nn.relu(y) if relu else y


def operations(function, *args):
    """Return the names of all operations, those of inner functions among them."""
    found = []

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            found.append(equation.primitive.name)
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                visit(inner)

    visit(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@pytest.mark.parametrize(
    ("options", "added", "relu"),
    [
        ({}, False, False),
        ({}, False, True),
        ({}, True, False),
        ({"groups": 4}, True, True),
        ({"stride": (2, 1)}, True, True),
        ({"dilation": (2, 2), "padding": (2, 2)}, True, True),
    ],
)
def test_values(lowering, options, added, relu):
    kernel = KERNEL[:, :, : 16 // options.get("groups", 1)]
    shape = jax.eval_shape(partial(conv2d, **options), X, kernel).shape
    addend = normal(*shape, seed=3) if added else None
    ours = jax.jit(fuse_convolutions(partial(block, relu=relu, **options)))
    found = ours(X, kernel, BIAS, addend)
    expected = block(X, kernel, BIAS, addend, relu=relu, conv=plain, **options)
    magnitude = plain(jnp.abs(X), jnp.abs(kernel), **options) + 5
    assert_sums_close(found, expected, magnitude)


def test_one_call_or_several_operations(lowering):
    text = jax.jit(fuse_convolutions(block)).lower(X, KERNEL, BIAS, X).as_text()
    calls, found = text.count("__onednn$convolution"), set(text.split())
    others = {"stablehlo.add", "stablehlo.maximum"} & found
    assert (calls, len(others)) == ((1, 0) if lowering == "onednn" else (0, 2))


def test_the_map_that_is_added_stays_as_it_was(lowering):
    addend = normal(3, 6, 7, 16, seed=3)
    twice = jax.jit(fuse_convolutions(lambda *args: (block(*args), args[-1] * 2)))
    _, double = twice(X, KERNEL, BIAS, addend)
    assert (double == addend * 2).all()


def test_without_jit_and_in_other_dtypes():
    fused = fuse_convolutions(block)
    expected = block(X, KERNEL, BIAS, X, conv=plain)
    assert jnp.allclose(fused(X, KERNEL, BIAS, X), expected, atol=1e-4)
    half = [value.astype(jnp.bfloat16) for value in (X, KERNEL, BIAS, X)]
    found = jax.jit(fused)(*half)
    assert found.dtype == jnp.bfloat16
    assert jnp.allclose(found.astype(jnp.float32), expected, atol=0.05 * jnp.abs(expected).max())


def test_an_exported_program_has_no_call(lowering):
    exported = jax.export.export(jax.jit(fuse_convolutions(block)), platforms=("cpu", "cuda"))
    text = exported(X, KERNEL, BIAS, X).mlir_module()
    assert "stablehlo.convolution" in text
    assert "onednn" not in text


def test_derivatives():
    def slope(function):
        def loss(*args):
            return (function(*args) ** 2).sum()

        return jax.grad(loss, argnums=(0, 1, 2, 3))(X, KERNEL, BIAS, X)

    for found, expected in zip(slope(fuse_convolutions(block)), slope(block), strict=True):
        assert jnp.allclose(found, expected, rtol=1e-5, atol=1e-5 * jnp.abs(expected).max())


def test_relu_has_its_own_derivative_at_zero():
    nothing = jnp.zeros((1, 2, 2, 1)), jnp.zeros((3, 3, 1, 1))
    gradient = jax.grad(lambda bias: fuse_convolutions(block)(*nothing, bias).sum())
    assert gradient(jnp.zeros(1)) == 0


def test_vmap():
    many = jnp.stack([BIAS, -BIAS])
    found = jax.vmap(fuse_convolutions(block), in_axes=(None, None, 0))(X, KERNEL, many)
    for row, bias in zip(found, many, strict=True):
        assert jnp.allclose(row, block(X, KERNEL, bias), atol=1e-4)


def test_what_is_taken_on():
    def seen(function):
        names = operations(fuse_convolutions(function), X, KERNEL, BIAS)
        relevant = {"convolution", "fused_convolution", "add", "max"}
        return [name for name in names if name in relevant]

    def biased(x, kernel, bias):
        return block(x, kernel, bias, relu=False)

    assert seen(block) == ["fused_convolution"]
    assert seen(jax.jit(block)) == ["fused_convolution"]
    assert seen(jax.checkpoint(block)) == ["fused_convolution"]
    # Of two convolutions that are added one takes on the sum.
    assert seen(lambda *args: biased(*args) + biased(*args)) == ["fused_convolution"] * 2
    assert seen(lambda x, k, b: block(block(x, k, b), k, b, x)) == ["fused_convolution"] * 2
    # Without a bias, with two readers, behind ReLU, and a second sum.
    assert seen(lambda x, k, b: nn.relu(conv2d(x, k))) == ["convolution", "max"]
    assert seen(lambda x, k, b: (y := conv2d(x, k)) * (y + b[None, None, None])) == [
        "convolution",
        "add",
    ]
    assert seen(lambda *args: block(*args) + args[0]) == ["fused_convolution", "add"]
    assert seen(lambda *args: biased(*args) + X + args[0]) == ["fused_convolution", "add"]
    # A maximum with 0 has another derivative there than ReLU.
    assert seen(lambda *args: jnp.maximum(biased(*args), 0)) == ["fused_convolution", "max"]


def test_a_result_that_is_returned_too_is_computed():
    def both(x, kernel, bias):
        y = block(x, kernel, bias, relu=False)
        return {"before": y, "after": nn.relu(y)}

    found, expected = fuse_convolutions(both)(X, KERNEL, BIAS), both(X, KERNEL, BIAS)
    for name, value in expected.items():
        assert jnp.allclose(found[name], value, atol=1e-4)
