"""The plateau controller's rules, one by one, and its arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj


def rates(controller, metrics, lr=1.0):
    state = controller.init(lr)
    result = []
    for metric in metrics:
        state = controller.update(state, metric)
        result.append(float(state.learning_rate))
    return result


def test_reduces_after_more_than_patience_bad_epochs():
    controller = rj.ReduceLROnPlateau(patience=2)
    assert rates(controller, [1, 1, 1, 1, 1]) == pytest.approx([1, 1, 1, 0.1, 0.1])


def test_the_threshold_is_relative_and_strict():
    controller = rj.ReduceLROnPlateau(patience=0, threshold=0.5)
    assert rates(controller, [2, 3, 3.1]) == pytest.approx([1, 0.1, 0.1])


def test_minimising_with_an_absolute_threshold():
    controller = rj.ReduceLROnPlateau("min", patience=0, threshold=1.0, threshold_mode="abs")
    assert rates(controller, [5, 3.5, 2.6]) == pytest.approx([1, 1, 0.1])


def test_nan_is_bad():
    assert rates(rj.ReduceLROnPlateau(patience=1), [1, jnp.nan, jnp.nan]) == pytest.approx(
        [1, 1, 0.1]
    )


def test_cooldown_min_lr_and_eps():
    controller = rj.ReduceLROnPlateau(patience=0, cooldown=1, min_lr=0.05)
    assert rates(controller, [1, 1, 1, 1, 1]) == pytest.approx([1, 0.1, 0.1, 0.05, 0.05])
    skipping = rj.ReduceLROnPlateau(patience=0, eps=0.95)
    assert rates(skipping, [1, 1, 1]) == pytest.approx([1, 1, 1])


def test_the_state_is_a_small_pytree_that_scans():
    controller = rj.ReduceLROnPlateau(patience=1)
    metrics = jnp.array([3.0, 1.0, 2.0, 4.0, 1.0, 1.0])

    def step(state, metric):
        state = controller.update(state, metric)
        return state, state.learning_rate

    state, scanned = jax.jit(lambda m: jax.lax.scan(step, controller.init(0.1), m))(metrics)
    assert len(jax.tree.leaves(state)) == 4
    np.testing.assert_allclose(scanned, rates(controller, metrics, 0.1), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "maximum"}, r"`mode` \(='maximum'\) must be 'max' or 'min'"),
        ({"threshold_mode": "x"}, r"`threshold_mode` \(='x'\)"),
        ({"factor": 1.0}, r"`factor` \(=1.0\) must be between 0 and 1"),
        ({"patience": -1}, r"`patience` \(=-1\) must be finite and at least 0"),
        ({"min_lr": float("nan")}, r"`min_lr` \(=nan\)"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        rj.ReduceLROnPlateau(**options)
