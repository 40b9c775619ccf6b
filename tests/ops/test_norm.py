"""The batch normalisation against its formula, differentiated by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec
from rounding import assert_sums_close

from resnet_jax.ops import batch_norm_train
from resnet_jax.ops.moments import one_pass_moments, two_pass_moments

AXES = (0, 1, 2)


def formula(x, scale, bias):
    mean, var = x.mean(AXES, keepdims=True), x.var(AXES, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(mean.shape) + bias.reshape(mean.shape)


def arguments(*shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    x, g = 3 + 2 * rng.standard_normal(shape), rng.standard_normal(shape)
    scale, bias = rng.standard_normal((2, shape[-1]))
    return tuple(jnp.asarray(a.astype(dtype)) for a in (x, scale, bias, g))


def value_and_gradients(function, *arguments):
    """The normalised activations, and the gradients for the activations, scale and bias."""
    *operands, g = arguments
    y, pullback = jax.vjp(function, *operands)
    return y, *pullback(g)


def magnitudes(x, scale, bias, g):
    """The absolute sums of the terms of what `value_and_gradients` computes."""
    x, scale, bias, g = map(jnp.abs, (x, scale, bias, g))
    inverse = 1 / x.std(AXES, keepdims=True)
    normalised = (x + x.mean(AXES, keepdims=True)) * inverse
    row = scale.reshape(inverse.shape)
    per_pixel = g + g.mean(AXES, keepdims=True)
    per_pixel += normalised * (normalised * g).mean(AXES, keepdims=True)
    return (
        normalised * row + bias.reshape(inverse.shape),
        per_pixel * row * inverse,
        (normalised * g).sum(AXES),
        g.sum(AXES),
    )


def only_y(*operands):
    return batch_norm_train(*operands)[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_and_gradients_are_the_formulas(dtype):
    with jax.enable_x64(True):
        given = arguments(4, 5, 6, 3, dtype=dtype)
        wide = tuple(a.astype(np.float64) for a in given)
        ours, theirs = value_and_gradients(only_y, *given), value_and_gradients(formula, *wide)
        for one, other, magnitude in zip(ours, theirs, magnitudes(*wide), strict=True):
            assert one.dtype == dtype
            assert_sums_close(one, other, magnitude)
        _, mean, var = batch_norm_train(*given[:3])
        x = wide[0]
        assert_sums_close(mean, x.mean(AXES), jnp.abs(x).mean(AXES))
        assert_sums_close(var, x.var(AXES), jnp.square(x).mean(AXES))


def test_second_derivatives_in_reverse_mode():
    with jax.enable_x64(True):
        x, scale, bias, g = arguments(2, 3, 3, 2)

        def penalty(function, x):
            return (value_and_gradients(function, x, scale, bias, g)[1] ** 2).sum()

        ours, theirs = (jax.grad(lambda x, f=f: penalty(f, x))(x) for f in (only_y, formula))
        largest = jnp.broadcast_to(jnp.abs(theirs).max(), theirs.shape)
        assert_sums_close(ours, theirs, largest, roundings=100)


def test_a_mean_far_above_the_spread_does_not_cancel():
    x = 1000 + arguments(8, 8, 8, 2, dtype=np.float32)[0]
    var = batch_norm_train(x, jnp.ones(2), jnp.zeros(2))[2]
    np.testing.assert_allclose(var, np.asarray(x, np.float64).var(AXES), rtol=1e-4)


def test_bfloat16_has_float32_statistics():
    x, scale, bias, _ = arguments(4, 8, 8, 3, dtype=np.float32)
    y, mean, var = batch_norm_train(x.astype(jnp.bfloat16), scale, bias)
    assert (y.dtype, mean.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(mean, x.mean(AXES), rtol=1e-2)


def test_devices_share_statistics_with_one_reduction_each_way():
    given = arguments(8, 3, 3, 4, dtype=np.float32)

    def of_shard(x, scale, bias, g):
        def loss(x, scale, bias):
            y, mean, var = batch_norm_train(x, scale, bias, axis_name="data")
            return lax.psum((y * g).sum(), "data"), (y, mean, var)

        grads, (y, mean, var) = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, scale, bias)
        return y, *grads, mean, var

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("data"), PartitionSpec()
    mapped = jax.jit(
        jax.shard_map(
            of_shard,
            mesh=mesh,
            in_specs=(split, whole, whole, split),
            out_specs=(split, split, whole, whole, whole, whole),
        )
    )
    x = given[0]
    expected = *value_and_gradients(formula, *given), x.mean(AXES), x.var(AXES)
    sizes = *magnitudes(*given), jnp.abs(x).mean(AXES), jnp.square(x).mean(AXES)
    for one, other, size in zip(mapped(*given), expected, sizes, strict=True):
        assert_sums_close(one, other, size)

    forward = jax.shard_map(
        lambda *a: batch_norm_train(*a, axis_name="data")[0],
        mesh=mesh,
        in_specs=(split, whole, whole),
        out_specs=split,
    )
    assert str(jax.make_jaxpr(forward)(*given[:3])).count("= psum") == 1


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
    expected = np.asarray(x, np.float64).var(AXES)
    np.testing.assert_allclose(mapped(x, jnp.full(2, 999.0)), expected, rtol=1e-4)
    # Without one it does cancel.
    assert np.abs(mapped(x, jnp.zeros(2)) / expected - 1).max() > 1e-4


@pytest.mark.parametrize("moments", [one_pass_moments, two_pass_moments])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_are_the_formulas(moments, dtype):
    with jax.enable_x64(True):
        x = arguments(4, 5, 6, 3, dtype=dtype)[0]
        shift = jnp.asarray([0, 2, 4], dtype)
        wide = np.asarray(x, np.float64)
        mean, var = moments(x, shift)
        assert mean.dtype == var.dtype == dtype
        assert_sums_close(mean, wide.mean(AXES), np.abs(wide).mean(AXES))
        around = np.square(wide - np.asarray(shift)).mean(AXES)
        assert_sums_close(var, wide.var(AXES), around)


def test_one_pass_around_a_shift_does_not_cancel():
    """The mean is 500 times the spread, and the shift two spreads off."""
    x = 1000 + arguments(8, 8, 8, 2, dtype=np.float32)[0]
    expected = np.asarray(x, np.float64).var(AXES)
    mean, var = one_pass_moments(x, jnp.full(2, 999, np.float32))
    np.testing.assert_allclose(mean, np.asarray(x, np.float64).mean(AXES), rtol=1e-6)
    np.testing.assert_allclose(var, expected, rtol=1e-5)
    # Without one it does cancel.
    var = one_pass_moments(x, jnp.zeros(2))[1]
    assert np.abs(var / expected - 1).max() > 1e-4


def test_one_pass_of_a_constant_channel_has_no_negative_variance():
    x = jnp.broadcast_to(jnp.arange(64) * 0.1, (3, 7, 7, 64))
    for shift in (jnp.zeros(64), jnp.arange(64) * 0.1):
        mean, var = one_pass_moments(x, shift)
        np.testing.assert_allclose(mean, x[0, 0, 0], rtol=1e-5)
        assert (var >= 0).all()
        assert (var <= 1e-5 * jnp.square(x[0, 0, 0])).all()


def test_platforms_with_fusing_convolutions_get_one_pass():
    def forward(x, scale):
        return batch_norm_train(x, scale, scale)

    given = jnp.zeros((4, 5, 6, 3)), jnp.zeros(3)
    texts = {
        platform: jax.export.export(jax.jit(forward), platforms=(platform,))(*given).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    # Only one pass has to keep the variance from becoming negative.
    assert {name: "stablehlo.maximum" in text for name, text in texts.items()} == {
        "cpu": False,
        "cuda": True,
        "tpu": True,
    }
