"""When the oneDNN call is made, and that it computes what XLA does."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rounding import assert_sums_close

from resnet_jax.ops import conv2d, cpu_lowering
from resnet_jax.ops.conv import onednn

from .test_conv import assert_like_plain, normal, plain

CALL = "__onednn$convolution"


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Let convolutions be calls of oneDNN, where that works; other tests do without."""
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "auto")
    if cpu_lowering().name != "onednn":
        pytest.skip(str(cpu_lowering()))
    jax.clear_caches()
    yield
    jax.clear_caches()


def lowered(x, kernel, **options) -> str:
    return jax.jit(partial(conv2d, **options)).lower(x, kernel).as_text()


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "options"),
    [
        ((3, 7, 9, 16), (3, 3, 16, 24), {}),
        ((3, 7, 9, 16), (3, 3, 16, 24), {"stride": (2, 1), "padding": (1, 0)}),
        ((3, 9, 9, 16), (3, 3, 16, 8), {"dilation": (2, 2), "padding": (2, 2)}),
        ((3, 6, 6, 64), (3, 3, 4, 64), {"groups": 16}),
        ((3, 6, 6, 32), (3, 3, 8, 64), {"groups": 4, "stride": (2, 2)}),
        ((3, 6, 6, 6), (3, 3, 3, 10), {"groups": 2}),
        ((3, 6, 6, 5), (3, 3, 1, 5), {"groups": 5}),
        ((3, 6, 6, 16), (1, 1, 16, 64), {"padding": (0, 0), "stride": (2, 2)}),
        ((3, 1, 1, 16), (3, 3, 16, 8), {}),
        ((3, 14, 14, 3), (7, 7, 3, 10), {"padding": (3, 3), "stride": (2, 2)}),
        ((3, 7, 9, 1), (3, 3, 1, 5), {"padding": (4, 0)}),
    ],
)
def test_values_and_gradients_are_those_of_lax(x_shape, kernel_shape, options):
    x, kernel = normal(*x_shape), normal(*kernel_shape, seed=1)
    assert CALL in lowered(x, kernel, **options)
    assert_like_plain(x, kernel, **options)


def test_eight_devices_call_it_at_once():
    x, kernel = normal(8, 2, 6, 6, 16), normal(3, 3, 16, 16, seed=1)
    mapped = jax.pmap(conv2d, in_axes=(0, None))(x, kernel)
    images = x.reshape(16, 6, 6, 16)
    magnitude = plain(jnp.abs(images), jnp.abs(kernel))
    assert_sums_close(mapped.reshape(16, 6, 6, 16), plain(images, kernel), magnitude)


def test_kernel_gradients_are_products_by_onednn():
    x, kernel = normal(4, 6, 6, 16), normal(1, 1, 16, 8)

    def loss(kernel):
        return (conv2d(x, kernel, padding=(0, 0)) ** 2).sum()

    assert "__onednn$matmul" in jax.jit(jax.grad(loss)).lower(kernel).as_text()
    assert not onednn.contracts_fast(1568, 256, 1024)


def test_not_for_other_dtypes_and_nothing():
    half = jnp.zeros((2, 6, 6, 8), jnp.bfloat16)
    assert CALL not in lowered(half, jnp.zeros((3, 3, 8, 8), jnp.bfloat16))
    assert CALL not in lowered(jnp.zeros((0, 6, 6, 8)), jnp.zeros((3, 3, 8, 8)))


def test_not_where_a_partitioner_splits_the_program():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    x = jax.device_put(normal(2, 6, 6, 8), NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.device_put(normal(3, 3, 8, 8), NamedSharding(mesh, PartitionSpec()))
    assert CALL not in lowered(x, kernel)


def test_not_in_exported_programs():
    x, kernel = normal(2, 6, 6, 8), normal(3, 3, 8, 8)
    exported = jax.export.export(jax.jit(conv2d), platforms=("cpu",))(x, kernel)
    assert CALL not in exported.mlir_module()


def test_not_where_it_is_forbidden(monkeypatch):
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "0")
    assert CALL not in lowered(normal(2, 6, 6, 8), normal(3, 3, 8, 8))
    assert str(cpu_lowering()) == "portable (RESNET_JAX_ONEDNN=0)"
