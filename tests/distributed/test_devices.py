"""Eight devices give the numbers of one, under jit and pmap, in float32 and in float64."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import tree_leaves_with_path
from tiny import MODELS, Job, assert_close, first_devices, host

import resnet_jax as rj

STEPS = {jnp.float32: 2, jnp.float64: 5}
"""Steps by type. In float32 the input of a ReLU is within rounding of 0 sooner or later; then one
gradient passes and the other does not, and every later step is another one."""


@functools.cache
def single(kind, dtype):
    job = Job(first_devices("jit", 1), kind, dtype=dtype)
    losses, state = job.train(job.engine.replicate(job.fresh()), range(STEPS[dtype]))
    return losses, host(state)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
def test_eight_devices_as_one(kind, parallel, dtype):
    exact = dtype == jnp.float64
    with jax.enable_x64(exact):
        job = Job(first_devices(parallel, 8), kind, dtype=dtype)
        first, state = job.train(job.engine.replicate(job.fresh()), range(1))
        traces = job.traces
        losses, state = job.train(state, range(1, STEPS[dtype]))
        expected_losses, expected = single(kind, dtype)
        result = host(job.engine.unreplicate(state))
    assert result[0] == STEPS[dtype]
    assert job.traces == traces
    if parallel == "jit":
        assert job.step._cache_size() == 1
    assert_close(first + losses, result, expected_losses, expected, exact=exact)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_eight_devices_as_one_with_a_pool_after_the_normalisation(parallel):
    with jax.enable_x64(True):
        jobs = (
            Job(engine, dtype=jnp.float64, stem="imagenet")
            for engine in (first_devices("jit", 1), first_devices(parallel, 8))
        )
        (expected_losses, expected), (losses, result) = (
            job.train(job.engine.replicate(job.fresh()), range(3)) for job in jobs
        )
        result = host(first_devices(parallel, 8).unreplicate(result))
    assert_close(losses, result, expected_losses, host(expected), exact=True)


def test_statistics_of_each_device_alone_are_noticed():
    """The bound of float32 is not too wide for what may go wrong."""

    def alone(**options):
        return rj.BatchNorm(**{**options, "axis_name": None})

    job = Job(first_devices("pmap", 8), norm_layer=alone)
    losses, state = job.train(job.engine.replicate(job.fresh()), range(STEPS[jnp.float32]))
    expected_losses, expected = single("basic", jnp.float32)
    result = host(job.engine.unreplicate(state))
    with pytest.raises(AssertionError):
        assert_close(losses, expected, expected_losses, expected)
    with pytest.raises(AssertionError):
        assert_close(expected_losses, result, expected_losses, expected)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_nothing_is_exchanged_but_sums(parallel):
    """Every device keeps its examples: no activation and no parameter moves.

    The compiler combines the sums of the gradients: there are at most one for all of them, and one
    for each BatchNorm and direction.
    """
    engine = first_devices(parallel, 8)
    job = Job(engine)
    state, batch = engine.replicate(job.fresh()), job.batch(0)
    lowered = job.step.lower(state, batch, job.key)
    norms = sum(path[-1].key == "mean" for path, _ in tree_leaves_with_path(state.batch_stats))
    text = lowered.compile().as_text()
    for other in ("all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        assert f" {other}(" not in text
    assert 0 < text.count(" all-reduce(") <= 2 * norms + 1
