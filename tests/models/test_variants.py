"""Every variant against one table: parameters, structure, options, errors."""

import jax
import jax.numpy as jnp
import pytest

import resnet_jax as rj
from resnet_jax.models import STAGES, stage_of

# Trainable parameters at 1000 classes, from torchvision's table of models.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}


def shapes(model, size=(64, 64), channels=3):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *size, channels)))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_table_begins_with_torchvisions():
    assert list(rj.VARIANTS)[: len(PARAMETERS)] == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count_of_torchvision(name):
    assert rj.VARIANTS[name].parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", rj.VARIANTS)
def test_parameter_count(name):
    row, variables = rj.VARIANTS[name], shapes(rj.create_model(name))
    assert variables["params"]["fc"]["bias"].shape == (row.num_classes,)
    assert count(variables["params"]) == row.parameters
    stages = {"stem", "head", *(f"layer{stage + 1}" for stage in range(len(row.layers)))}
    assert {stage_of(part) for part in variables["params"]} == stages <= set(STAGES)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", PARAMETERS)
def test_output_shape_and_type(name):
    model = rj.create_model(name, num_classes=7)
    variables = shapes(model)
    logits = jax.eval_shape(model.apply, variables, jnp.zeros((2, 97, 65, 3)))
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)


@pytest.mark.parametrize("name", PARAMETERS)
def test_collections_and_block_counts(name):
    variables = shapes(rj.create_model(name))
    assert set(variables) == {"params", "batch_stats"}
    for stage, blocks in enumerate(rj.VARIANTS[name].layers, start=1):
        found = [key for key in variables["params"] if key.startswith(f"layer{stage}_")]
        assert len(found) == blocks
    with_projection = {key for key, value in variables["params"].items() if "downsample" in value}
    basic = rj.VARIANTS[name].block is rj.BasicBlock
    expected = {"layer2_0", "layer3_0", "layer4_0"} | (set() if basic else {"layer1_0"})
    assert with_projection == expected
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", PARAMETERS)
def test_factories_and_create_model_agree(name):
    factory = getattr(rj, name)
    assert factory(num_classes=10) == rj.create_model(name, 10)
    assert factory.__name__ == name
    assert f"{PARAMETERS[name]:,}" in factory.__doc__


def test_options_override_the_table():
    model = rj.resnet50(groups=32, width_per_group=4)
    assert count(shapes(model)["params"]) == PARAMETERS["resnext50_32x4d"]


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"`variant` \(='resnet35'\) must be one of resnet18"):
        rj.create_model("resnet35")
