"""Max pooling against XLA's own, ties included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from resnet_jax.ops import max_pool


def plain(x, window, stride, padding):
    sides = (padding, padding)
    return lax.reduce_window(
        x,
        -jnp.inf,
        lax.max,
        (1, window, window, 1),
        (1, stride, stride, 1),
        ((0, 0), sides, sides, (0, 0)),
    )


@st.composite
def poolings(draw):
    window = draw(st.integers(1, 4))
    padding = draw(st.integers(0, window // 2))
    side = st.integers(max(1, window - 2 * padding), 9)
    return (draw(side), draw(side)), window, draw(st.integers(1, 5)), padding


@settings(max_examples=8, deadline=None, derandomize=True)
@given(poolings())
@example(((8, 9), 3, 2, 1))
@example(((1, 1), 3, 2, 1))
def test_values_and_gradients_are_those_of_lax(case):
    sides, *options = case
    rng = np.random.default_rng(0)
    # Few different values, so that most windows have ties.
    x = jnp.asarray(rng.integers(0, 3, (2, *sides, 3)), jnp.float32)
    ours, pullback = jax.vjp(lambda x: max_pool(x, *options), x)
    theirs, reference = jax.vjp(lambda x: plain(x, *options), x)
    assert jnp.array_equal(ours, theirs)
    g = jnp.asarray(rng.integers(-9, 9, ours.shape), jnp.float32)
    assert jnp.array_equal(pullback(g)[0], reference(g)[0])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_kept(dtype):
    x = jnp.arange(16, dtype=dtype).reshape(1, 4, 4, 1)
    y, pullback = jax.vjp(max_pool, x)
    assert y.dtype == pullback(y)[0].dtype == dtype
    assert y.ravel().tolist() == [5, 7, 13, 15]


def test_mapped_and_split_over_devices():
    # Sums of integers are exact.
    x = jnp.asarray(np.random.default_rng(0).integers(-9, 9, (4, 2, 6, 6, 3)), jnp.float32)

    def gradient(x):
        return jax.grad(lambda x: (max_pool(x) ** 2).sum())(x)

    expected = jnp.stack([gradient(part) for part in x])
    assert jnp.array_equal(jax.vmap(gradient)(x), expected)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("data")
    by_shard = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=split, out_specs=split))
    assert jnp.array_equal(by_shard(x.reshape(8, 6, 6, 3)).reshape(x.shape), expected)


def test_other_platforms_get_the_plain_reduction():
    gradient = jax.jit(jax.grad(lambda x: max_pool(x).sum()))
    x = jnp.zeros((1, 8, 8, 2))
    for platform in ("cuda", "tpu"):
        text = jax.export.export(gradient, platforms=(platform,))(x).mlir_module()
        assert "select_and_scatter" in text
    assert "select_and_scatter" not in gradient.lower(x).as_text()


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (jnp.zeros((4, 4, 1)), (3, 2, 1), "must be floating \\[batch"),
        (jnp.zeros((1, 4, 4, 1), jnp.int32), (3, 2, 1), "`x` \\(int32"),
        (jnp.zeros((1, 4, 4, 1)), (3, 0, 1), "`stride` \\(=0\\)"),
        (jnp.zeros((1, 4, 4, 1)), (3, 2, 2), "`padding` \\(=2\\)"),
        (jnp.zeros((1, 4, 1, 1)), (3, 2, 0), "`window` \\(=3\\) must fit"),
    ],
)
def test_wrong_arguments_are_named(x, options, message):
    with pytest.raises(ValueError, match=message):
        max_pool(x, *options)
