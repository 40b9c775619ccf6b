"""The plateau controller gives torch's learning rates, exactly."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import resnet_jax as rj

LENGTH = 64


def metrics(anything):
    """Ties, and steps just below, at and above a threshold of 1e-4 or 0.5; then anything."""
    return st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 50.0, 50.005, 50.0050001, 50.5, 49.5, 51.0]),
        st.sampled_from([math.nan, math.inf, -math.inf]),
        st.integers(-2000, 2000).map(lambda value: value / 1000),
        anything,
    )


def traces(anything):
    return st.one_of(
        st.lists(metrics(anything), min_size=1, max_size=LENGTH),
        st.lists(st.sampled_from([50.0, 50.005, 50.01, math.nan]), min_size=1, max_size=LENGTH),
    )


# XLA flushes numbers below 1e-307 to 0 on the CPU, which changes their comparisons.
NORMAL = st.floats().filter(lambda value: value == 0 or not abs(value) < 1e-300)
RATES = st.one_of(st.just(0.1), st.floats(1e-9, 10.0))
CONTROLLERS = [
    rj.ReduceLROnPlateau(),
    *(
        rj.ReduceLROnPlateau(mode, factor, patience, threshold, threshold_mode, cooldown, min_lr)
        for (mode, threshold_mode), (factor, patience, threshold, cooldown, min_lr) in (
            itertools.product(
                itertools.product(["max", "min"], ["rel", "abs"]),
                [
                    (0.1, 10, 1e-4, 0, 0.0),
                    (0.5, 0, 0.0, 0, 0.0),
                    (0.3, 1, 1e-4, 3, 1e-3),
                    (0.7, 2, 0.5, 1, 0.03),
                ],
            )
        )
    ),
    rj.ReduceLROnPlateau(factor=0.9, patience=0, eps=5e-3),
    rj.ReduceLROnPlateau(mode="min", factor=0.1, patience=1, threshold=1.0),
]


def torch_rates(controller, learning_rate, trace):
    """The rates after each metric, by torch's scheduler."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=learning_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode=controller.mode,
        factor=controller.factor,
        patience=controller.patience,
        threshold=controller.threshold,
        threshold_mode=controller.threshold_mode,
        cooldown=controller.cooldown,
        min_lr=controller.min_lr,
        eps=controller.eps,
    )
    rates = []
    for metric in trace:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@functools.cache
def scanned(controller, x64):
    """The controller over a trace of fixed length, compiled once."""
    del x64  # part of the key: what is compiled for one precision is of no use to the other

    def run(learning_rate, trace):
        def step(state, metric):
            state = controller.update(state, metric)
            return state, state.learning_rate

        return jax.lax.scan(step, controller.init(learning_rate), trace)[1]

    return jax.jit(run)


def our_rates(controller, learning_rate, trace, *, x64=True):
    padded = np.zeros(LENGTH)
    padded[: len(trace)] = trace
    with jax.enable_x64(x64):
        rates = scanned(controller, x64)(learning_rate, padded if x64 else np.float32(padded))
    return np.asarray(rates)[: len(trace)].tolist()


def eager_rates(controller, learning_rate, trace, *, x64):
    """The rates after each metric, outside of any transformation."""
    rates = []
    with jax.enable_x64(x64):
        state = controller.init(learning_rate)
        for metric in trace:
            state = controller.update(state, metric)
            rates.append(float(state.learning_rate))
    return rates


@settings(max_examples=3000, deadline=None)
@given(
    controller=st.sampled_from(CONTROLLERS),
    learning_rate=RATES,
    trace=traces(NORMAL),
)
@example(rj.ReduceLROnPlateau(), 0.1, [50.0] + [50.005] * 63)
@example(rj.ReduceLROnPlateau(), 0.1, [math.nan] * 64)
def test_scanned_rates_are_equal(controller, learning_rate, trace):
    assert our_rates(controller, learning_rate, trace) == torch_rates(
        controller, learning_rate, trace
    )


@settings(max_examples=150, deadline=None)
@given(
    controller=st.builds(
        rj.ReduceLROnPlateau,
        mode=st.sampled_from(["max", "min"]),
        factor=st.floats(1e-3, 1, exclude_max=True),
        patience=st.integers(0, 3),
        threshold=st.one_of(st.just(0.0), st.floats(1e-9, 2)),
        threshold_mode=st.sampled_from(["rel", "abs"]),
        cooldown=st.integers(0, 3),
        min_lr=st.one_of(st.just(0.0), st.floats(1e-9, 0.2)),
        eps=st.sampled_from([0.0, 1e-8, 1e-3]),
    ),
    x64=st.booleans(),
    trace=st.lists(metrics(st.floats()), min_size=1, max_size=12),
)
def test_rates_of_any_controller_are_equal_step_by_step(controller, x64, trace):
    assert eager_rates(controller, 0.1, trace, x64=x64) == torch_rates(controller, 0.1, trace)


@settings(max_examples=1000, deadline=None)
@given(controller=st.sampled_from(CONTROLLERS), learning_rate=RATES, trace=traces(st.floats()))
@example(rj.ReduceLROnPlateau(), 0.1, [50.0] + [50.005] * 63)
def test_rates_are_equal_outside_of_jit_at_the_default_precision(controller, learning_rate, trace):
    rates = eager_rates(controller, learning_rate, trace, x64=False)
    assert rates == torch_rates(controller, learning_rate, trace)


@pytest.mark.parametrize("controller", CONTROLLERS[:4])
def test_jitted_update_is_equal(controller):
    trace = np.random.default_rng(0).choice([50.0, 50.005, 50.01, np.nan, 49.0], LENGTH)
    update = jax.jit(controller.update)
    with jax.enable_x64(True):
        state = controller.init(0.1)
        rates = []
        for metric in trace:
            state = update(state, metric)
            rates.append(float(state.learning_rate))
    assert rates == torch_rates(controller, 0.1, trace.tolist())


@settings(max_examples=500, deadline=None)
@given(
    hits=st.lists(st.integers(0, 1000), min_size=1, max_size=LENGTH),
    patience=st.sampled_from([10, 1]),
)
def test_float32_reduces_at_the_same_epochs(hits, patience):
    """Accuracies of 1000 images are far enough apart for float32 to order them as float64 does."""
    controller = rj.ReduceLROnPlateau(patience=patience)
    trace = [hit / 10 for hit in hits]
    theirs = torch_rates(controller, 0.1, trace)
    ours = our_rates(controller, 0.1, trace, x64=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_traces_reduce_at_all():
    """A guard on the tests above: reductions, skips and cooldowns are within their reach."""
    trace = [50.0] * LENGTH
    assert len(set(torch_rates(rj.ReduceLROnPlateau(), 0.1, trace))) == 6
    with jax.enable_x64(True):
        assert jnp.asarray(0.1).dtype == jnp.float64
