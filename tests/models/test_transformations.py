"""A whole network under JAX's and Flax's transformations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import freeze

import resnet_jax as rj
from resnet_jax.models import freeze_batch_norm, image_channels

MODEL = rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), 10, base_planes=4)
IMAGES = np.random.default_rng(0).standard_normal((2, 32, 32, 3))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), jnp.asarray(IMAGES, jnp.float32))


def loss(params, batch_stats, images, model=MODEL, train=True):
    given = {"params": params, "batch_stats": batch_stats}
    if train:
        logits, _ = model.apply(given, images, train=True, mutable=["batch_stats"])
    else:
        logits = model.apply(given, images)
    return (logits**2).mean()


def wide(variables):
    """The variables and the images in float64."""
    tree = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), dict(variables))
    return tree["params"], tree["batch_stats"], jnp.asarray(IMAGES)


def assert_close(one, two, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1e-3, np.abs(b).max()))


@pytest.mark.parametrize("train", [False, True])
def test_without_jit(variables, train):
    compute = partial(loss, train=train)
    with jax.enable_x64(True):
        given = wide(variables)
        compute = jax.value_and_grad(compute) if train else compute
        compiled = jax.jit(compute)(*given)
        with jax.disable_jit():
            assert_close(compute(*given), compiled)


@pytest.mark.parametrize("train", [False, True])
def test_a_product_with_the_hessian_in_both_orders(variables, train):
    with jax.enable_x64(True):
        params, *rest = wide(variables)

        def gradient(params):
            return jax.grad(partial(loss, train=train))(params, *rest)

        direction = jax.tree.map(jnp.cos, params)

        def slope(params):
            products = jax.tree.map(jnp.vdot, gradient(params), direction)
            return sum(jax.tree.leaves(products))

        forward = jax.jit(lambda: jax.jvp(gradient, (params,), (direction,)))()
        assert_close(forward[1], jax.jit(jax.grad(slope))(params))


def test_the_tangent_of_the_logits_is_the_transpose_of_the_gradient(variables):
    with jax.enable_x64(True):
        params, batch_stats, images = wide(variables)

        def logits(params):
            given = {"params": params, "batch_stats": batch_stats}
            return MODEL.apply(given, images, train=True, mutable=["batch_stats"])[0]

        direction = jax.tree.map(jnp.cos, params)
        y, change = jax.jit(lambda: jax.jvp(logits, (params,), (direction,)))()
        back = jax.jit(lambda: jax.vjp(logits, params)[1](y)[0])()
        products = jax.tree.map(jnp.vdot, back, direction)
        assert float(sum(jax.tree.leaves(products))) == pytest.approx(float(jnp.vdot(y, change)))


def test_frozen_variables(variables):
    frozen = freeze(dict(variables))
    images = jnp.asarray(IMAGES, jnp.float32)
    np.testing.assert_array_equal(MODEL.apply(frozen, images), MODEL.apply(variables, images))
    ours, theirs = rj.to_torch(MODEL, frozen), rj.to_torch(MODEL, variables)
    assert list(ours) == list(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert image_channels(MODEL, frozen) == 3
    still = freeze_batch_norm(MODEL, ("stem",))
    for given in (frozen, variables):
        _, updates = still.apply(given, images, train=True, mutable=["batch_stats"])
        np.testing.assert_array_equal(updates["batch_stats"]["bn1"]["mean"], np.zeros(4))


def column(table, name):
    """The numbers of a column of the table, by the path of the module."""
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in table.splitlines()]
    head = next(line for line in table.splitlines() if "path" in line)
    names = [cell.strip() for cell in head.strip("┃").split("┃")]
    at = names.index(name)
    numbers = [row for row in rows if len(row) == len(names) and row[at].lstrip("-").isdigit()]
    return {row[0]: int(row[at]) for row in numbers}


@pytest.mark.parametrize("block", [rj.BasicBlock, rj.Bottleneck])
def test_the_operations_of_the_modules_are_counted(block):
    groups = {"groups": 2, "width_per_group": 32} if block is rj.Bottleneck else {}
    model = rj.ResNet(block, (1, 1, 1, 1), 10, base_planes=8, stem="cifar", **groups)
    images = jnp.zeros((2, 8, 8, 3), jnp.float32)
    table = model.tabulate(
        jax.random.key(0),
        images,
        compute_flops=True,
        compute_vjp_flops=True,
        console_kwargs={"width": 240, "force_terminal": False},
    )
    forward, both = column(table, "flops"), column(table, "vjp_flops")
    # 2 images of 8×8 output pixels; the taps of the border's padding do not count.
    assert forward["conv1"] == 2 * 2 * (3 * 8 - 2) ** 2 * 3 * 8
    for name, flops in forward.items():
        if name:
            assert flops > 0, name
            assert both[name] > flops, name
    parts = sum(flops for name, flops in forward.items() if "/" not in name and name)
    assert 0.9 * parts < max(forward.values()) < 1.1 * parts
