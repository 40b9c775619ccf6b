"""The learning rate by the step: the shapes, torch's one cycle, and what cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from resnet_jax.training import Schedule


def test_constant_after_a_warmup():
    factors = Schedule("constant", total_steps=5, warmup_steps=4)(np.arange(8))
    np.testing.assert_allclose(factors, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_cosine():
    factors = Schedule("cosine", total_steps=104, warmup_steps=4)(np.arange(110))
    np.testing.assert_allclose(factors[:5], [0.25, 0.5, 0.75, 1, 1])
    assert float(factors[54]) == pytest.approx(0.5)
    assert (np.diff(factors[4:104]) < 0).all()
    assert (factors[103:] == factors[103]).all()
    assert 0 < factors[103] < 1e-3


@pytest.mark.parametrize(("total", "warmup"), [(20, 6), (100, 30), (7, 2), (9, 7)])
def test_one_cycle_is_torchs(total, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, pct_start=warmup / total, cycle_momentum=False
    )
    expected = []
    for _ in range(total):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        if len(expected) < total:
            scheduler.step()
    factors = Schedule("onecycle", total, warmup)(np.arange(total))
    np.testing.assert_allclose(factors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epochs", [4, 8, 12])
def test_multistep_is_torchs(epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    milestones = [epochs // 2, 3 * epochs // 4]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    expected = []
    for _ in range(epochs):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    factors = Schedule("multistep", epochs * 7)(np.arange(epochs * 7))
    np.testing.assert_allclose(factors, np.repeat(expected, 7), rtol=1e-6)


def test_multistep_with_a_warmup_and_own_milestones():
    schedule = Schedule("multistep", 10, 2, milestones=(0.3, 0.6, 0.8), gamma=0.2)
    expected = [0.5, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.008, 0.008, 0.008]
    np.testing.assert_allclose(schedule(np.arange(11)), expected, rtol=1e-6)


def test_inside_a_compiled_step():
    schedule = Schedule("cosine", 10, 2)
    compiled = jax.jit(schedule)
    for step in range(10):
        assert float(compiled(jnp.int32(step))) == pytest.approx(float(schedule(step)), rel=1e-6)
    assert compiled._cache_size() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("step", 10), r"`shape` \(='step'\) must be"),
        (("cosine", 0), r"`total_steps` \(=0\) must be at least 1"),
        (("cosine", 10, 10), r"`warmup_steps` \(=10\) must be in \[0, 9\] for 10 steps"),
        (("constant", 10, -1), r"`warmup_steps` \(=-1\) must be in \[0, 9\]"),
        (("onecycle", 10, 1), r"`warmup_steps` \(=1\) must be in \[2, 8\]"),
        (("multistep", 10, 0, (0.5, 0.5)), r"`milestones` \(=\(0.5, 0.5\)\) must ascend"),
        (("multistep", 10, 0, (0.5, 1.5)), r"`milestones` .* between 0 and 1"),
        (("multistep", 10, 0, (float("nan"),)), r"`milestones` .* between 0 and 1"),
        (("multistep", 10, 0, (0.5,), 0.0), r"`gamma` \(=0.0\) must be finite and above 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*arguments)


@pytest.mark.parametrize("convert", [np.int64, np.asarray, jnp.int32])
def test_scalars_of_numpy_and_jax(convert):
    scalars = Schedule("cosine", convert(10), convert(2))
    assert scalars == Schedule("cosine", 10, 2)
    assert type(scalars.total_steps) is type(scalars.warmup_steps) is int


def test_what_is_no_number():
    with pytest.raises(TypeError, match=r"`total_steps` \(='10'\) must be a number"):
        Schedule("cosine", "10")
    with pytest.raises(ValueError, match=r"`warmup_steps` must be a scalar, .* shape \(1,\)"):
        Schedule("cosine", 10, np.array([2]))
