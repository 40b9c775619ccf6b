"""What TPUs pick by products is what others fetch, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data.augment import lookup


@pytest.fixture(autouse=True, params=[False, True], ids=["32 bits", "64 bits"])
def x64(request):
    """Compute each case with and without JAX's 64-bit types."""
    with jax.enable_x64(request.param):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def image_of(rng, *shape):
    return jnp.asarray(rng.integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 9, 1), (40, 33, 3)])
@pytest.mark.parametrize("together", [lookup.MOST_TOGETHER, 1, 3 * 6 * 33])
def test_pixels(rng, shape, together, monkeypatch):
    monkeypatch.setattr(lookup, "MOST_TOGETHER", together)
    image = image_of(rng, *shape)
    rows, columns = (jnp.asarray(rng.integers(0, size, (8, 6)), jnp.int32) for size in shape[:2])
    expected = np.asarray(image)[np.asarray(rows), np.asarray(columns)]
    for pick in (lookup.pixels_at, lookup.pixels_by_products):
        found = jax.jit(pick)(image, rows, columns)
        assert found.dtype == jnp.uint8
        np.testing.assert_array_equal(found, expected)


def test_large_images_are_not_picked_by_products(monkeypatch):
    monkeypatch.setattr(lookup, "MOST_PIXELS", 3)
    monkeypatch.setattr(lookup, "pixels_by_products", None)
    place = jnp.zeros((1, 1), jnp.int32)
    assert lookup.pixels_at(jnp.ones((2, 2, 3), jnp.uint8), place, place).shape == (1, 1, 3)


@pytest.mark.parametrize("corner", [(0, 0), (3, 1), (4, 2)])
def test_windows(rng, corner):
    image = image_of(rng, 12, 9, 3)
    row, column = map(jnp.int32, corner)
    expected = image[corner[0] : corner[0] + 8, corner[1] : corner[1] + 7]
    for pick in (lookup.window_at, lookup.window_by_products):
        found = jax.jit(pick, static_argnums=3)(image, row, column, (8, 7, 3))
        assert found.dtype == jnp.uint8
        np.testing.assert_array_equal(found, expected)


def test_levels(rng):
    table = jnp.asarray(rng.permutation(256), jnp.int32)
    levels = jnp.asarray(rng.integers(0, 256, (9, 4)), jnp.int32)
    for look_up in (lookup.levels_in, lookup.levels_by_sums):
        found = jax.jit(look_up)(table, levels)
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, table[levels])
    expected = np.bincount(np.asarray(levels).ravel(), minlength=256)
    for count in (lookup.count_levels, lookup.counts_by_sums):
        found = jax.jit(count)(levels)
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lookup.pixels_at, ((8, 8, 3), (4, 4), (4, 4))),
        (lookup.levels_in, ((256,), (4, 4))),
        (lookup.count_levels, ((4, 4),)),
    ],
    ids=["pixels", "levels", "counts"],
)
def test_a_tpu_gathers_and_scatters_nothing(function, arguments):
    """By what is lowered for one, which needs none."""
    types = [jnp.uint8 if len(shape) == 3 else jnp.int32 for shape in arguments]
    shapes = [jax.ShapeDtypeStruct(*pair) for pair in zip(arguments, types, strict=True)]
    texts = {
        platform: jax.jit(function).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()
        for platform in ("tpu", "cpu")
    }
    assert "gather" in texts["cpu"] or "scatter" in texts["cpu"]
    assert "gather" not in texts["tpu"]
    assert "scatter" not in texts["tpu"]
