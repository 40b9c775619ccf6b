"""The plateau controller's rules, one by one, and its arguments."""

from fractions import Fraction

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


def test_outside_of_a_transformation_the_state_is_float64():
    controller = rj.ReduceLROnPlateau(patience=0)
    for rate, metric in ((0.1, 50.0), (np.float32(0.1), np.float32(50)), (jnp.array(0.1), 50)):
        start = controller.init(rate)
        for state in (start, controller.update(start, metric)):
            leaves = jax.tree.leaves(state)
            assert [leaf.dtype for leaf in leaves] == ["float64", "float64", "int32", "int32"]
            assert all(isinstance(leaf, np.ndarray) and leaf.shape == () for leaf in leaves)


@pytest.mark.parametrize("x64", [False, True])
def test_a_state_from_outside_goes_into_a_transformation_and_back(x64):
    controller = rj.ReduceLROnPlateau(patience=0)
    metrics = [5.0, 4.0, 6.0, 1.0]
    expected = rates(controller, metrics, 0.1)
    dtype = "float64" if x64 else "float32"

    def step(state, metric):
        state = controller.update(state, metric)
        return state, state.learning_rate

    with jax.enable_x64(x64):
        start = controller.init(0.1)
        update = jax.jit(controller.update)
        inside = start
        for metric in metrics:
            inside = update(inside, metric)
            assert inside.learning_rate.dtype == dtype
        assert update._cache_size() <= 2  # the state from outside and the one from inside
        np.testing.assert_allclose(inside.learning_rate, expected[-1], rtol=1e-6)
        scanned = jax.lax.scan(step, start, jnp.array(metrics))[1]
        np.testing.assert_allclose(scanned, expected, rtol=1e-6)
        outside = controller.update(inside, 0.0)
        assert outside.learning_rate.dtype == np.float64
        many = jax.vmap(controller.update, in_axes=(None, 0))(start, jnp.array(metrics))
        assert many.best.tolist() == metrics
        with jax.disable_jit():
            unrolled = jax.lax.scan(step, start, jnp.array(metrics))[1]
        np.testing.assert_allclose(unrolled, expected, rtol=1e-6)


def test_numpy_scalars_as_arguments():
    plain = rj.ReduceLROnPlateau("min", 0.5, 1, 1e-4, "rel", 2, 0.01, 1e-8)
    numpy = rj.ReduceLROnPlateau(
        np.str_("min"),
        np.float64(0.5),
        np.int64(1),
        np.float64(1e-4),
        np.str_("rel"),
        np.int32(2),
        np.float64(0.01),
        np.float64(1e-8),
    )
    assert numpy == plain
    assert repr(numpy) == repr(plain)
    metrics = [1.0] * 12
    assert rates(numpy, metrics) == rates(plain, metrics)
    state = jax.jit(numpy.update)(numpy.init(0.1), 1.0)
    assert state.learning_rate.dtype == np.float32


def test_the_metric_must_be_a_scalar():
    controller = rj.ReduceLROnPlateau()
    state = controller.init(0.1)
    for update in (controller.update, jax.jit(controller.update)):
        with pytest.raises(ValueError, match=r"`metric` must be a scalar, not .* shape \(1,\)"):
            update(state, jnp.ones(1))
    with pytest.raises(ValueError, match=r"`learning_rate` must be a scalar, .* shape \(2,\)"):
        controller.init([0.1, 0.2])


@pytest.mark.parametrize("metric", [None, "0.5", np.str_("0.5"), b"1", 1j, {}])
def test_the_metric_must_be_a_number(metric):
    controller = rj.ReduceLROnPlateau()
    with pytest.raises(TypeError, match=r"`metric` \(=.*\) must be a number$"):
        controller.update(controller.init(0.1), metric)


@pytest.mark.parametrize("learning_rate", [None, "0.1"])
def test_the_learning_rate_must_be_a_number(learning_rate):
    with pytest.raises(TypeError, match=r"`learning_rate` \(=.*\) must be a number$"):
        rj.ReduceLROnPlateau().init(learning_rate)


@pytest.mark.parametrize(
    "convert",
    [
        np.float32,
        np.float64,
        np.float16,
        np.int64,
        np.asarray,
        jnp.float32,
        jnp.bfloat16,
        jnp.int32,
        lambda metric: jax.device_put(jnp.float32(metric), jax.devices()[1]),
        Fraction,
    ],
)
def test_metrics_of_any_type_of_number(convert):
    controller = rj.ReduceLROnPlateau(patience=0)
    metrics = [3, 5, 4, 6]
    assert rates(controller, map(convert, metrics)) == rates(controller, metrics)


def test_booleans_and_infinities_as_metrics():
    controller = rj.ReduceLROnPlateau(patience=0)
    for no, yes in ((False, True), (np.bool_(False), np.bool_(True))):
        assert rates(controller, [yes, no]) == pytest.approx([1, 0.1])
    assert rates(controller, [-jnp.inf, 1, jnp.inf, 2]) == pytest.approx([0.1, 0.1, 0.1, 0.01])


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": "0.1"}, r"`factor` \(='0.1'\) must be a number"),
        ({"patience": None}, r"`patience` \(=None\) must be a number"),
    ],
)
def test_arguments_that_are_no_numbers(options, message):
    with pytest.raises(TypeError, match=message):
        rj.ReduceLROnPlateau(**options)


def test_arrays_as_arguments():
    with pytest.raises(ValueError, match=r"`factor` must be a scalar, not an .* shape \(2,\)"):
        rj.ReduceLROnPlateau(factor=np.array([0.1, 0.2]))
    zero_d = rj.ReduceLROnPlateau(factor=np.asarray(0.5), patience=jnp.asarray(1))
    assert zero_d == rj.ReduceLROnPlateau(factor=0.5, patience=1)
    assert type(zero_d.patience) is int
