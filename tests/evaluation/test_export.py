"""Exported networks: equal logits for any batch, and nothing in them that others cannot run."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import resnet_jax as rj
from resnet_jax.evaluation import OUTPUTS, PLATFORMS, FlipAveraged, to_stablehlo
from resnet_jax.models import fold_batch_norm

TRANSFORM = rj.Transform(source=(9, 7), resize=14, crop=12, mean=(0.4,) * 3, std=(0.3,) * 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    """Groups, 1×1 and strided convolutions and the max-pool; statistics that are not 0 and 1."""
    model = rj.ResNet(rj.Bottleneck, (1, 1, 1, 1), 5, base_planes=8, groups=4, width_per_group=16)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 12, 12, 3)))
    statistics = jax.tree.map(lambda leaf: leaf * 1.5 + 0.1, variables["batch_stats"])
    return model, {"params": variables["params"], "batch_stats": statistics}


@pytest.fixture(scope="module")
def logits(network):
    model, variables = network
    return np.asarray(jax.jit(model.apply)(variables, TRANSFORM.center(IMAGES)))


@pytest.fixture(scope="module")
def exported(network):
    return export.deserialize(to_stablehlo(*network, transform=TRANSFORM, image_shape=(9, 7, 3)))


def test_any_batch(exported, logits):
    for count in (1, 3):
        result = exported.call(IMAGES[:count])
        np.testing.assert_allclose(result, logits[:count], rtol=1e-4, atol=1e-5)


def test_what_the_program_says_of_itself(exported):
    assert exported.platforms == PLATFORMS == ("cpu", "cuda", "tpu")
    assert [str(aval) for aval in exported.in_avals] == ["uint8[batch,9,7,3]"]
    assert [str(aval) for aval in exported.out_avals] == ["float32[batch,5]"]


def test_no_custom_call_that_another_machine_lacks(exported):
    text = exported.mlir_module()
    assert "stablehlo.convolution" in text
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"shape_assertion"}
    assert "onednn" not in text


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "Expected value >= 1 for dimension variable 'batch'"),
        (IMAGES[:, :8], "Shape mismatch"),
        (IMAGES.astype(np.float32), "Dtype mismatch"),
    ],
)
def test_other_images(exported, images, message):
    with pytest.raises(ValueError, match=message):
        exported.call(images)


def test_normalised_images_and_probabilities(network, logits):
    data = to_stablehlo(*network, transform=None, image_shape=(12, 12, 3), output="probabilities")
    result = export.deserialize(data).call(TRANSFORM.center(IMAGES))
    np.testing.assert_allclose(result, jax.nn.softmax(logits), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["folded", "averaged", "folded, averaged"])
def test_wrappers(network, kind):
    model, variables = network
    if kind != "averaged":
        model, variables = fold_batch_norm(model, variables)
    if kind != "folded":
        model = FlipAveraged(model)
    x = TRANSFORM.center(IMAGES)
    expected = jax.jit(model.apply)(variables, x)
    data = to_stablehlo(model, variables, transform=None, image_shape=[12, 12, np.int64(3)])
    result = export.deserialize(data).call(x)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_mistakes(network):
    with pytest.raises(ValueError, match=rf"`output` .* must be one of {', '.join(OUTPUTS)}$"):
        to_stablehlo(*network, transform=None, image_shape=(12, 12, 3), output="classes")
    with pytest.raises(ValueError, match=r"`images` has shape .* expected \[batch, 9, 7, 3\]"):
        to_stablehlo(*network, transform=TRANSFORM, image_shape=(8, 8, 3))
    with pytest.raises(ValueError, match=r"^`image_shape` \(=\(8, 8\)\) must be \(height, width, "):
        to_stablehlo(*network, transform=None, image_shape=(8, 8))
