"""Eight devices give the numbers of one, under jit and pmap, in float32 and in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves_with_path
from tiny import MODELS, Job, first_devices, host

STEPS = 5


@functools.cache
def single(kind, dtype):
    job = Job(first_devices("jit", 1), kind, dtype=dtype)
    losses, state = job.train(job.engine.replicate(job.fresh()), range(STEPS))
    return losses, host(state)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-4), (jnp.float64, 1e-9)], ids=["float32", "float64"]
)
def test_eight_devices_as_one(kind, parallel, dtype, tolerance):
    with jax.enable_x64(dtype == jnp.float64):
        job = Job(first_devices(parallel, 8), kind, dtype=dtype)
        first, state = job.train(job.engine.replicate(job.fresh()), range(1))
        traces = job.traces
        losses, state = job.train(state, range(1, STEPS))
        expected_losses, expected = single(kind, dtype)
        result = host(job.engine.unreplicate(state))
    assert result[0] == STEPS
    assert job.traces == traces
    if parallel == "jit":
        assert job.step._cache_size() == 1
    np.testing.assert_allclose(first + losses, expected_losses, rtol=tolerance)
    for leaf, wanted in zip(result, expected, strict=True):
        assert leaf.dtype == wanted.dtype
        scale = max(np.abs(wanted).max(), 1e-3)
        np.testing.assert_allclose(leaf, wanted, rtol=tolerance, atol=tolerance * scale)


def count_sums(part):
    """How often a computation, or whatever its equations have as a parameter, sums over devices."""
    if isinstance(part, (tuple, list)):
        return sum(map(count_sums, part))
    own = 0
    for equation in getattr(getattr(part, "jaxpr", part), "eqns", ()):
        own += equation.primitive.name.startswith("psum")
        own += count_sums(list(equation.params.values()))
    return own


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_nothing_is_exchanged_but_sums(parallel):
    """Every device keeps its examples: no activation and no parameter moves.

    There is one reduction for all gradients, and one for each BatchNorm and direction.
    """
    engine = first_devices(parallel, 8)
    job = Job(engine)
    state, batch = engine.replicate(job.fresh()), job.batch(0)
    lowered = job.step.lower(state, batch, job.key)
    norms = sum(path[-1].key == "mean" for path, _ in tree_leaves_with_path(state.batch_stats))
    sums = count_sums(jax.make_jaxpr(job.step)(state, batch, job.key))
    assert sums == 2 * norms + 1
    text = lowered.compile().as_text()
    for other in ("all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        assert f" {other}(" not in text
    assert " all-reduce(" in text
