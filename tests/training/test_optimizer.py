"""The rules of SGD and LAMB by hand, and the layout of the state in checkpoints."""

import jax
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


def test_the_learning_rate_scales_the_buffer_not_the_gradient():
    """As in torch, a new rate applies to the whole buffer at once."""
    path = follow(make_optimizer(0.1, 0.5), [1.0, 1.0], rates=[0.1, 0.01])
    assert path == pytest.approx([0.9, 0.9 - 0.01 * 1.5])


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"`nesterov` \(=True\) needs `momentum` \(=0.0\) above 0"):
        make_optimizer(0.1, 0.0, nesterov=True)


def test_an_unknown_optimizer():
    with pytest.raises(ValueError, match=r"`name` \(='adagrad'\) must be one of sgd, lamb"):
        make_optimizer(0.1, name="adagrad")


def test_the_layout_of_the_state_in_checkpoints():
    params = {"conv1": {"kernel": jnp.ones((2, 2))}, "fc": {"kernel": jnp.ones((2, 2))}}

    def layout(**options):
        tx = make_optimizer(0.1, weight_decay=1e-4, decay_kernels_only=True, **options)
        paths = jax.tree_util.tree_leaves_with_path(tx.init(params))
        return [jax.tree_util.keystr(path) for path, _ in paths]

    rate = [".count", ".hyperparams['learning_rate']"]
    assert layout() == [
        *rate,
        ".inner_state[1].trace['conv1']['kernel']",
        ".inner_state[1].trace['fc']['kernel']",
    ]
    assert layout(factors={"conv1": 0.0, "fc": 1.0}, stage_of=str) == [
        *rate,
        ".inner_state.inner_states['fc'].inner_state[1].trace['fc']['kernel']",
    ]


LAMB_PARAMS = {
    "kernel": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32),
    "bias": np.array([0.25, -1.0], np.float32),
    "zero": np.zeros(3, np.float32),
}


def lamb_gradients(step):
    rng = np.random.default_rng(step)
    return {
        name: rng.standard_normal(leaf.shape).astype(np.float32)
        for name, leaf in LAMB_PARAMS.items()
    }


@pytest.mark.parametrize("kernels_only", [False, True])
def test_lamb_is_optax_lamb(kernels_only):
    ours = make_optimizer(
        0.01, 0.8, name="lamb", weight_decay=0.1, decay_kernels_only=kernels_only, beta2=0.99
    )
    mask = {"kernel": True, "bias": not kernels_only, "zero": not kernels_only}
    theirs = optax.lamb(0.01, 0.8, 0.99, weight_decay=0.1, mask=mask)
    one = two = LAMB_PARAMS
    state, their_state = ours.init(one), theirs.init(two)
    for step in range(8):
        updates, state = ours.update(lamb_gradients(step), state, one)
        one = optax.apply_updates(one, updates)
        updates, their_state = theirs.update(lamb_gradients(step), their_state, two)
        two = optax.apply_updates(two, updates)
        for name in one:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-6)


def test_lamb_by_hand():
    """Algorithm 2 of You et al. 2019, in float64."""
    rate, beta1, beta2, decay = 0.02, 0.9, 0.999, 0.1
    tx = make_optimizer(rate, name="lamb", weight_decay=decay)
    params, state = LAMB_PARAMS, tx.init(LAMB_PARAMS)
    expected = {name: leaf.astype(np.float64) for name, leaf in LAMB_PARAMS.items()}
    first = {name: np.zeros_like(leaf) for name, leaf in expected.items()}
    second = {name: np.zeros_like(leaf) for name, leaf in expected.items()}
    for step in range(1, 6):
        gradients = lamb_gradients(step)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name, x in expected.items():
            first[name] = beta1 * first[name] + (1 - beta1) * gradients[name]
            second[name] = beta2 * second[name] + (1 - beta2) * gradients[name] ** 2.0
            mean, square = first[name] / (1 - beta1**step), second[name] / (1 - beta2**step)
            update = mean / (np.sqrt(square) + 1e-6) + decay * x
            ratio = np.linalg.norm(x) / np.linalg.norm(update) if x.any() else 1.0
            expected[name] = x - rate * ratio * update
            np.testing.assert_allclose(params[name], expected[name], rtol=1e-5, atol=1e-6)


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
