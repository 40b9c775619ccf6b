"""Batch normalisation, ReLU and max-pool in one operation, in both orders that platforms use."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec
from rounding import assert_sums_close

from resnet_jax.ops import Pool, batch_norm_train, max_pool
from resnet_jax.ops.norm import pool_first, pool_last

POOL = Pool(3, 2, 1)
SCALE = [1.5, -0.5, 0.75]
"""One negative scale: the smallest activation of a window is the largest result."""


def arguments(batch=4, dtype=np.float64):
    """Return activations, scale, bias and shift; a gradient of the result; and tangents."""
    rng = np.random.default_rng(0)
    given = 3 + 2 * rng.standard_normal((batch, 9, 8, 3)), SCALE, [0.5, 0.25, -0.5], [2.5, 3, 3.5]
    g, change = rng.standard_normal((batch, 5, 4, 3)), rng.standard_normal((batch, 9, 8, 3))
    changes = change, *rng.standard_normal((2, 3))
    as_arrays = [tuple(jnp.asarray(a, dtype) for a in part) for part in (given, (g,), changes)]
    return as_arrays[0], as_arrays[1][0], as_arrays[2]


def of(operation, shift, axis_name=None):
    return lambda *operands: operation(1e-5, axis_name, POOL, *operands, shift)[0]


def separately(shift):
    def apply(x, scale, bias):
        return max_pool(jax.nn.relu(batch_norm_train(x, scale, bias, shift=shift)[0]), *POOL)

    return apply


@pytest.mark.parametrize("operation", [pool_first, pool_last])
def test_values_and_derivatives_are_those_of_the_parts(operation):
    with jax.enable_x64(True):
        (*operands, shift), g, changes = arguments()
        fused, parts = of(operation, shift), separately(shift)

        def penalty(function, x):
            grad = jax.grad(lambda x: (function(x, *operands[1:]) * g).sum())(x)
            return (grad**2).sum()

        for derive in (
            lambda f: f(*operands),
            lambda f: jax.vjp(f, *operands)[1](g),
            lambda f: jax.jvp(f, tuple(operands), changes)[1],
            lambda f: jax.grad(lambda x: penalty(f, x))(operands[0]),
        ):
            results = (jax.jit(partial(derive, f))() for f in (fused, parts))
            for one, other in zip(*map(jax.tree.leaves, results), strict=True):
                assert_sums_close(one, other, jnp.full(other.shape, jnp.abs(other).max()), 100)


@pytest.mark.parametrize("operation", [pool_first, pool_last])
def test_statistics_are_those_of_all_activations(operation):
    with jax.enable_x64(True):
        given = arguments()[0]
        _, mean, var = operation(1e-5, None, POOL, *given)
        x = np.asarray(given[0])
        np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-12)


def test_maxima_are_the_same_in_half_precision():
    """Rounding keeps the order of the activations, so that they are equal to the last bit."""
    *operands, shift = arguments(dtype=np.float32)[0]
    x = operands[0].astype(jnp.bfloat16)
    one, other = (of(f, shift)(x, *operands[1:]) for f in (pool_first, pool_last))
    assert one.dtype == jnp.bfloat16
    assert jnp.array_equal(one, other)


def test_a_scale_of_zero_gives_the_bias():
    *operands, shift = arguments(dtype=np.float32)[0]
    operands[1] = jnp.zeros(3)
    y, pullback = jax.vjp(of(pool_first, shift), *operands)
    np.testing.assert_allclose(y, jnp.broadcast_to(jax.nn.relu(operands[2]), y.shape))
    assert all(jnp.isfinite(grad).all() for grad in pullback(jnp.ones_like(y)))


@pytest.mark.parametrize("operation", [pool_first, pool_last])
def test_devices_share_statistics(operation):
    with jax.enable_x64(True):
        (*operands, shift), g, _ = arguments(8)

        def of_shard(*given):
            *operands, g = given

            def loss(*operands):
                y = of(operation, shift, "data")(*operands)
                return lax.psum((y * g).sum(), "data"), y

            grads, y = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*operands)
            return y, *grads

        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        split, whole = PartitionSpec("data"), PartitionSpec()
        specs = {
            "in_specs": (split, whole, whole, split),
            "out_specs": (split, split, whole, whole),
        }
        mapped = jax.jit(jax.shard_map(of_shard, mesh=mesh, **specs))
        y, pullback = jax.vjp(of(operation, shift), *operands)
        for one, other in zip(mapped(*operands, g), (y, *pullback(g)), strict=True):
            assert_sums_close(one, other, jnp.full(other.shape, jnp.abs(other).max()), 100)


def test_accelerators_normalise_only_the_maxima():
    (x, *rest), *_ = arguments(dtype=np.float32)

    def step(x, *rest):
        return jax.grad(lambda x: batch_norm_train(x, *rest[:2], relu_pool=POOL)[0].sum())(x)

    texts = {
        platform: jax.export.export(jax.jit(step), platforms=(platform,))(x, *rest).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    for platform, text in texts.items():
        # The ReLU compares its input with 0: all activations, or the maxima alone.
        inputs = re.findall(r"stablehlo.compare +GT,.*: \(tensor<(\w+)xf32>", text)
        assert inputs == ["4x9x8x3" if platform == "cpu" else "4x5x4x3"]
