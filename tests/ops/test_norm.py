"""The batch normalisation against its formula, differentiated by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from resnet_jax.ops import batch_norm_train


def formula(x, scale, bias):
    axes = (0, 1, 2)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(mean.shape) + bias.reshape(mean.shape)


def arguments(*shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = 3 + 2 * rng.standard_normal(shape)
    scale, bias = rng.standard_normal((2, shape[-1]))
    return tuple(jnp.asarray(a.astype(dtype)) for a in (x, scale, bias))


def gradients(function, *operands):
    return jax.grad(lambda *a: jnp.sin(function(*a)).sum(), argnums=(0, 1, 2))(*operands)


def only_y(*operands):
    return batch_norm_train(*operands)[0]


def test_float64_values_and_gradients_are_the_formulas():
    with jax.enable_x64(True):
        x, scale, bias = arguments(4, 5, 6, 3)
        y, mean, var = batch_norm_train(x, scale, bias)
        np.testing.assert_allclose(y, formula(x, scale, bias), rtol=1e-10)
        np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-12)
        ours = gradients(only_y, x, scale, bias)
        for one, other in zip(ours, gradients(formula, x, scale, bias), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_second_derivatives_in_reverse_mode():
    with jax.enable_x64(True):
        x, scale, bias = arguments(2, 3, 3, 2)

        def penalty(function, x):
            return (gradients(function, x, scale, bias)[0] ** 2).sum()

        ours, theirs = (jax.grad(lambda x, f=f: penalty(f, x))(x) for f in (only_y, formula))
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_a_mean_far_above_the_spread_does_not_cancel():
    x = 1000 + arguments(8, 8, 8, 2, dtype=np.float32)[0]
    var = batch_norm_train(x, jnp.ones(2), jnp.zeros(2))[2]
    np.testing.assert_allclose(var, np.asarray(x, np.float64).var((0, 1, 2)), rtol=1e-4)


def test_bfloat16_has_float32_statistics():
    x, scale, bias = arguments(4, 8, 8, 3, dtype=np.float32)
    y, mean, var = batch_norm_train(x.astype(jnp.bfloat16), scale, bias)
    assert (y.dtype, mean.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-2)


def test_devices_share_statistics_with_one_reduction_each_way():
    x, scale, bias = arguments(8, 3, 3, 4, dtype=np.float32)

    def of_shard(x, scale, bias):
        def loss(x, scale, bias):
            y, mean, var = batch_norm_train(x, scale, bias, axis_name="data")
            return lax.psum(jnp.sin(y).sum(), "data"), (mean, var)

        grads, statistics = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, scale, bias)
        return (*grads, *statistics)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("data"), PartitionSpec()
    mapped = jax.jit(
        jax.shard_map(
            of_shard,
            mesh=mesh,
            in_specs=(split, whole, whole),
            out_specs=(split, whole, whole, whole, whole),
        )
    )
    expected = (
        *gradients(formula, x, scale, bias),
        x.mean((0, 1, 2)),
        x.var((0, 1, 2)),
    )
    for one, other in zip(mapped(x, scale, bias), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)

    forward = jax.shard_map(
        lambda *a: batch_norm_train(*a, axis_name="data")[0],
        mesh=mesh,
        in_specs=(split, whole, whole),
        out_specs=split,
    )
    assert str(jax.make_jaxpr(forward)(x, scale, bias)).count("= psum") == 1


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="`bias` \\(shape \\(2,\\)\\)"):
        batch_norm_train(jnp.zeros((1, 2, 2, 3)), jnp.zeros(3), jnp.zeros(2))


def test_a_shift_keeps_the_devices_variance_from_cancelling():
    x = 1000 + arguments(8, 8, 8, 2, dtype=np.float32)[0]
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("data"), PartitionSpec()

    def variance(x, shift):
        ones = jnp.ones(2)
        return batch_norm_train(x, ones, ones, shift=shift, axis_name="data")[2]

    mapped = jax.shard_map(variance, mesh=mesh, in_specs=(split, whole), out_specs=whole)
    expected = np.asarray(x, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(mapped(x, jnp.full(2, 999.0)), expected, rtol=1e-4)
    # Without one it does cancel.
    assert np.abs(mapped(x, jnp.zeros(2)) / expected - 1).max() > 1e-4
