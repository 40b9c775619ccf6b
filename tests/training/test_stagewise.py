"""SGD by stages: each is `make_optimizer` at its own rate, and what is frozen stays to the bit."""

import jax
import numpy as np
import optax
import pytest

from resnet_jax.training import make_optimizer, set_learning_rate
from resnet_jax.training.stagewise import make_stagewise_optimizer

PARAMS = {
    "conv1": {"kernel": np.ones((1, 1, 2, 2), np.float32)},
    "layer1_0": {"kernel": np.full((2, 2), 2.0, np.float32), "bias": np.ones(2, np.float32)},
    "fc": {"kernel": np.full((2, 2), 3.0, np.float32)},
}
FACTORS = {"conv1": 0.0, "layer1": 0.25, "fc": 1.0}
OPTIONS = {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}


def stage_of(name):
    return name.partition("_")[0]


def train(tx, params, steps=4):
    state = tx.init(params)
    for step in range(steps):
        if step == 2:
            state = set_learning_rate(state, 0.05)
        gradients = jax.tree.map(lambda leaf, step=step: leaf * (step + 1.0), params)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_each_stage_has_its_rate():
    tx = make_stagewise_optimizer(0.1, FACTORS, stage_of, **OPTIONS)
    params, _ = train(tx, PARAMS)
    plain = make_optimizer(0.1, decay_kernels_only=True, **OPTIONS)
    for name, factor in (("fc", 1.0), ("layer1_0", 0.25)):

        def scaled(rate, factor=factor):
            return make_optimizer(rate * factor, decay_kernels_only=True, **OPTIONS)

        state, part = scaled(0.1).init(PARAMS[name]), PARAMS[name]
        for step in range(4):
            if step == 2:
                state = set_learning_rate(state, 0.05 * factor)
            gradients = jax.tree.map(lambda leaf, step=step: leaf * (step + 1.0), part)
            updates, state = plain.update(gradients, state, part)
            part = optax.apply_updates(part, updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), params[name], part)


def test_a_frozen_stage_stays_and_has_no_momentum():
    tx = make_stagewise_optimizer(0.1, FACTORS, stage_of, **OPTIONS)
    params, state = train(tx, PARAMS)
    np.testing.assert_array_equal(params["conv1"]["kernel"], PARAMS["conv1"]["kernel"])
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    assert (1, 1, 2, 2) not in shapes
    assert shapes.count((2, 2)) == 2


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"fc": 0.0}, "`factors` are all 0"),
        ({"fc": 1.0, "conv1": -1.0}, r"the factor of conv1 \(=-1.0\) must be finite and at least"),
        ({"fc": float("nan")}, r"the factor of fc \(=nan\) must be finite"),
    ],
)
def test_factors(factors, message):
    with pytest.raises(ValueError, match=message):
        make_stagewise_optimizer(0.1, factors, stage_of)
