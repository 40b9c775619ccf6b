"""SGD's rule, by hand, and the learning rate as a part of the state."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.training import (
    get_learning_rate,
    has_own_schedule,
    make_optimizer,
    set_learning_rate,
)


def follow(tx, gradients, params=1.0, rates=None):
    params = {"w": jnp.asarray(params)}
    state = tx.init(params)
    path = []
    for index, gradient in enumerate(gradients):
        if rates is not None:
            state = set_learning_rate(state, rates[index])
        updates, state = tx.update({"w": jnp.asarray(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
        path.append(float(params["w"]))
    return path


def test_momentum():
    assert follow(make_optimizer(0.1, 0.5), [1.0, 1.0]) == pytest.approx([0.9, 0.75])


def test_nesterov():
    assert follow(make_optimizer(0.1, 0.5, nesterov=True), [1.0]) == pytest.approx([0.85])


def test_weight_decay_is_added_to_the_gradient():
    assert follow(make_optimizer(0.1, 0.0, weight_decay=2.0), [1.0]) == pytest.approx([0.7])


def test_biases_and_normalisations_are_not_decayed():
    tx = make_optimizer(1.0, 0.0, weight_decay=0.5, decay_kernels_only=True)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(2)}
    zeros = {name: jnp.zeros_like(leaf) for name, leaf in params.items()}
    updates, _ = tx.update(zeros, tx.init(params), params)
    assert {name: float(leaf.ravel()[0]) for name, leaf in updates.items()} == {
        "kernel": -0.5,
        "bias": 0.0,
        "scale": 0.0,
    }


def test_the_learning_rate_scales_the_buffer_not_the_gradient():
    """As in torch, a new rate applies to the whole buffer at once."""
    path = follow(make_optimizer(0.1, 0.5), [1.0, 1.0], rates=[0.1, 0.01])
    assert path == pytest.approx([0.9, 0.9 - 0.01 * 1.5])


def test_set_learning_rate():
    state = make_optimizer(0.1).init({"w": jnp.zeros(2)})
    assert get_learning_rate(state) == np.float32(0.1)
    assert get_learning_rate(set_learning_rate(state, 0.025)) == np.float32(0.025)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0,), {}, r"`learning_rate` \(=0.0\) must be finite and above 0"),
        ((float("nan"),), {}, r"`learning_rate` \(=nan\)"),
        ((0.1, 1.0), {}, r"`momentum` \(=1.0\) must be at least 0 and below 1"),
        ((0.1,), {"weight_decay": -1.0}, r"`weight_decay` \(=-1.0\)"),
        ((0.1, 0.0), {"nesterov": True}, r"`nesterov` \(=True\) needs `momentum`"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(*arguments, **options)


def test_an_optimizer_with_its_own_schedule():
    plain, own = (make_optimizer(rate) for rate in (0.1, lambda count: 0.1 * 0.5**count))
    params = {"w": jnp.ones(2)}
    state = own.init(params)
    assert has_own_schedule(state)
    assert not has_own_schedule(plain.init(params))
    assert not has_own_schedule(optax.adam(0.1).init(params))
    used = []
    for _ in range(3):
        _, state = own.update(params, state, params)
        used.append(float(get_learning_rate(state)))
    assert used == pytest.approx([0.1, 0.05, 0.025])
    with pytest.raises(ValueError, match="by its own schedule, so that setting it has no effect"):
        set_learning_rate(state, 0.1)
