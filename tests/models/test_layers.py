"""BatchNorm's statistics, the initialisers, and the convolution's own checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from rounding import assert_sums_close

from resnet_jax.models import BatchNorm, Conv, Dense
from resnet_jax.models.layers import kaiming_normal_fan_out


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


X = normal(4, 3, 5, 2) * 3.0 + 1.5


def normalised_sizes(x):
    """Sizes of the two terms, pixel and mean, of each normalised activation."""
    x = np.asarray(x, np.float64)
    return (np.abs(x) + np.abs(x).mean((0, 1, 2))) / x.std((0, 1, 2))


def test_batch_norm_running_variance_is_unbiased():
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), X)
    y, updates = norm.apply(variables, X, True, mutable=["batch_stats"])
    x = np.asarray(X, dtype=np.float64).reshape(-1, 2)
    normalised = (np.asarray(X) - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    assert_sums_close(y, normalised, normalised_sizes(X))
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-5)


def test_batch_norm_evaluation_uses_the_running_statistics():
    norm = BatchNorm()
    params = {"scale": jnp.array([2.0, 3.0]), "bias": jnp.array([0.5, -0.5])}
    stats = {"mean": jnp.array([1.0, 2.0]), "var": jnp.array([4.0, 9.0])}
    y = norm.apply({"params": params, "batch_stats": stats}, X)
    x, mean = np.asarray(X, np.float64), np.array([1.0, 2.0])
    factor = [2.0, 3.0] / np.sqrt(np.array([4.0, 9.0]) + 1e-5)
    expected = (x - mean) * factor + [0.5, -0.5]
    assert_sums_close(y, expected, (np.abs(x) + mean) * factor + 0.5)


def test_batch_norm_shares_statistics_over_a_mapped_axis():
    """Shards of different means give the statistics of the whole."""
    whole = normal(8, 3, 3, 2, seed=1) + jnp.arange(8.0).reshape(8, 1, 1, 1)
    single, mapped = BatchNorm(), BatchNorm(axis_name="batch")
    variables = single.init(jax.random.key(0), whole)

    def apply(norm, x):
        return norm.apply(variables, x, True, mutable=["batch_stats"])

    y, updates = apply(single, whole)
    shards = whole.reshape(4, 2, 3, 3, 2)
    parts, shared = jax.vmap(lambda x: apply(mapped, x), axis_name="batch")(shards)
    assert_sums_close(parts.reshape(y.shape), y, normalised_sizes(whole))
    for name in ("mean", "var"):
        expected = jnp.broadcast_to(updates["batch_stats"][name], (4, 2))
        np.testing.assert_allclose(shared["batch_stats"][name], expected, rtol=1e-5)


def test_batch_norm_without_an_axis_stays_per_device():
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), X)
    _, updates = jax.vmap(lambda x: norm.apply(variables, x, True, mutable=["batch_stats"]))(
        jnp.stack([X, X + 1.0])
    )
    mean = updates["batch_stats"]["mean"]
    np.testing.assert_allclose(mean[1] - mean[0], [0.1, 0.1], rtol=1e-4)


def test_batch_norm_needs_two_values():
    norm = BatchNorm()
    x = jnp.ones((1, 1, 1, 2))
    variables = norm.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm.apply(variables, x, True, mutable=["batch_stats"])


def test_batch_norm_gradient_is_that_of_the_textbook():
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), X)
    weights = normal(*X.shape, seed=2)

    def ours(x):
        return (norm.apply(variables, x, True, mutable=["batch_stats"])[0] * weights).sum()

    def textbook(x):
        mean, var = x.mean((0, 1, 2), keepdims=True), x.var((0, 1, 2), keepdims=True)
        return ((x - mean) / jnp.sqrt(var + 1e-5) * weights).sum()

    sizes, absolute = normalised_sizes(X), np.abs(weights)
    magnitude = absolute + absolute.mean((0, 1, 2)) + sizes * (sizes * absolute).mean((0, 1, 2))
    magnitude /= np.asarray(X).std((0, 1, 2))
    assert_sums_close(jax.grad(ours)(X), jax.grad(textbook)(X), magnitude)


def test_convolution_initialiser_counts_all_output_channels():
    kernel = Conv(64, 3, groups=4).init(jax.random.key(0), jnp.zeros((1, 8, 8, 64)))["params"]
    std = float(kernel["kernel"].std())
    assert kernel["kernel"].shape == (3, 3, 16, 64)
    assert std == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


def test_dense_initialiser_is_torchs():
    params = Dense(200).init(jax.random.key(0), jnp.zeros((1, 100)))["params"]
    for leaf in (params["kernel"], params["bias"]):
        assert 0.09 < float(jnp.abs(leaf).max()) <= 0.1
        assert float(leaf.std()) == pytest.approx(0.1 / 3**0.5, rel=0.15)


def test_convolution_groups_must_divide():
    with pytest.raises(ValueError, match=r"`groups` \(=3\) must divide the input channels \(=4\)"):
        Conv(6, 3, groups=3).init(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))


def test_the_convolution_initialiser_is_flax_own():
    """The same numbers to the last rounding, though it draws a list and not a matrix."""
    theirs = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    for shape in [(3, 3, 2, 8), (1, 1, 3, 5)]:
        ours = kaiming_normal_fan_out(jax.random.key(7), shape)
        np.testing.assert_allclose(ours, theirs(jax.random.key(7), shape), rtol=1e-6)
