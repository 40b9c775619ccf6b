"""Frozen stages: their BatchNorms ignore the batch, in training, too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj
from resnet_jax.models import STAGES, freeze_batch_norm, stage_of, stages_up_to

MODEL = rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), 3, base_planes=4, stem="cifar")


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (4, 8, 8, 1)) * 2 + 1


def moved(model, variables, images):
    """Return the stages whose running statistics a training pass moves, and the features."""

    def features(variables, images):
        return model.apply(
            variables, images, train=True, mutable=["batch_stats"], method="features"
        )

    maps, updates = jax.jit(features)(variables, images)
    stages = {
        stage_of(name)
        for name, part in updates["batch_stats"].items()
        for before, after in zip(
            jax.tree.leaves(variables["batch_stats"][name]), jax.tree.leaves(part), strict=True
        )
        if not np.array_equal(before, after)
    }
    return stages, maps


def test_every_part_has_a_stage(variables):
    assert {stage_of(name) for name in variables["params"]} == set(STAGES)


@pytest.mark.parametrize("remat", [False, True])
def test_the_first_stages_are_frozen(variables, images, remat):
    model = freeze_batch_norm(MODEL.clone(remat=remat), stages_up_to("layer2"))
    stages, maps = moved(model, variables, images)
    assert stages == {"layer3", "layer4"}
    evaluated = jax.jit(lambda *args: MODEL.apply(*args, method="features"))(variables, images)
    for name in ("stem", "layer1", "layer2"):
        np.testing.assert_allclose(maps[name], evaluated[name], rtol=1e-5, atol=1e-5)
    assert not np.allclose(maps["layer3"], evaluated["layer3"], atol=1e-2)


def test_nothing_is_frozen(variables, images):
    assert freeze_batch_norm(MODEL, stages_up_to(None)) is MODEL
    assert moved(MODEL, variables, images)[0] == set(STAGES) - {"head"}


def test_the_variables_are_the_networks(variables):
    model = freeze_batch_norm(MODEL, stages_up_to("layer4"))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    rj.from_torch(model, rj.to_torch(model, variables))


def test_mistakes():
    with pytest.raises(ValueError, match=r"`last` \(='head'\) must be one of stem, layer1"):
        stages_up_to("head")
    with pytest.raises(ValueError, match=r"`norm_layer` .* must be None, for BatchNorm"):
        freeze_batch_norm(MODEL.clone(norm_layer=partial(rj.BatchNorm)), ("stem",))


def test_a_group_norm_has_no_statistics_to_freeze():
    model = MODEL.clone(norm_layer=rj.GroupNorm)
    assert freeze_batch_norm(model, ("stem",)) is model
