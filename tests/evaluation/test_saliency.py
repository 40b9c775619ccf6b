"""Saliency against closed forms: a linear network, and one with ReLUs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from resnet_jax.evaluation import grad_cam, input_saliency


class Block(nn.Module):
    """A factor and a bias for each channel, and a ReLU where it is asked for."""

    linear: bool

    @nn.compact
    def __call__(self, x):
        factor = self.param("factor", nn.initializers.uniform(1.0), (1, 1, 1, x.shape[-1]))
        y = x * factor + self.param("bias", nn.initializers.zeros, (1, 1, 1, x.shape[-1]))
        return y if self.linear else nn.relu(y)


class Network(nn.Module):
    """Two stages, of one block and of two, the mean over space, and a head."""

    linear: bool = True
    remat: bool = False
    classes: int = 4

    def setup(self):
        block = nn.remat(Block) if self.remat else Block
        self.first_0, self.second_0, self.second_1 = (block(self.linear) for _ in range(3))
        self.fc = nn.Dense(self.classes)

    def features(self, x):
        first = self.first_0(x)
        return {"first": first, "second": self.second_1(self.second_0(first))}

    def __call__(self, x, train=False):
        del train
        return self.fc(self.features(x)["second"].mean((1, 2)))


CLASSES = np.array([3, 0])
IMAGES = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)


def initial(model):
    variables = model.init(jax.random.key(0), IMAGES)
    params = jax.tree.map(np.asarray, variables["params"])
    factors = {name: params[name]["factor"] for name in ("first_0", "second_0", "second_1")}
    return variables, factors, params["fc"]["kernel"]


def weighted(maps, weights):
    """What Grad-CAM is by its definition."""
    result = np.maximum((maps * weights).sum(-1), 0)
    assert result.max() > 0
    return result


def test_gradient_of_a_linear_network():
    model = Network()
    variables, factors, kernel = initial(model)
    product = (factors["first_0"] * factors["second_0"] * factors["second_1"])[0, 0]
    per_class = np.abs(product.T * kernel).max(0) / 24
    expected = np.broadcast_to(per_class[CLASSES][:, None, None], (2, 6, 4))
    saliency = input_saliency(model, variables, IMAGES, CLASSES)
    np.testing.assert_allclose(saliency, expected, rtol=1e-5)


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("stage", ["first", "second"])
def test_grad_cam_of_a_linear_network(stage, remat):
    model = Network(remat=remat)
    variables, factors, kernel = initial(model)
    weights = kernel[:, CLASSES].T[:, None, None] / 24
    if stage == "first":
        weights = weights * factors["second_0"] * factors["second_1"]
    maps = np.asarray(model.apply(variables, IMAGES, method="features")[stage])
    cam = grad_cam(model, variables, IMAGES, CLASSES, stage=stage)
    np.testing.assert_allclose(cam, weighted(maps, weights), rtol=1e-4, atol=1e-7)


def test_grad_cam_behind_a_relu():
    """A bias has the gradient of the map that it is added to, where no ReLU cuts the map off."""
    model = Network(linear=False)
    variables, _, _ = initial(model)
    params = variables["params"]
    # With a head that is above 0 the map is, too.
    params = {**params, "fc": jax.tree.map(jnp.abs, params["fc"])}

    def with_bias(bias, threshold=0.0):
        changes = {"first_0": {"bias": bias}, "second_0": {"bias": -threshold}}
        changed = {block: {**params[block], **change} for block, change in changes.items()}
        return {"params": {**params, **changed}}

    def first_maps(variables):
        return np.asarray(model.apply(variables, IMAGES[:1], method="features")["first"])

    bias = jnp.full((1, 1, 1, 3), 10.0)
    # The second stage's ReLU cuts off about half of the pixels, so that the gradient varies.
    scaled = first_maps(with_bias(bias, jnp.zeros((1, 1, 1, 3)))) * params["second_0"]["factor"]
    threshold = jnp.median(scaled, axis=(1, 2), keepdims=True)

    def score(bias):
        return model.apply(with_bias(bias, threshold), IMAGES[:1])[0, 2]

    variables = with_bias(bias, threshold)
    maps = first_maps(variables)
    assert maps.min() > 0
    expected = weighted(maps, np.asarray(jax.grad(score)(bias)) / 24)
    cam = grad_cam(model, variables, IMAGES[:1], np.array([2]), stage="first")
    np.testing.assert_allclose(cam, expected, rtol=1e-4)


def explain(kind, variables, classes):
    if kind == "gradient":
        return input_saliency(Network(), variables, IMAGES, classes)
    return grad_cam(Network(), variables, IMAGES, classes, stage="second")


KINDS = pytest.mark.parametrize("kind", ["gradient", "grad_cam"])


@KINDS
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([1, 4], "`classes[1]` (=4) must be in [0, 4), the classes of the logits"),
        ([-1, 0], "`classes[0]` (=-1) must be in [0, 4), the classes of the logits"),
        ([2**32, 0], "`classes[0]` (=4294967296) must be in [0, 4), the classes of the logits"),
        ([1], "`classes` (int64[1]) must be integers of shape [2], one for each image"),
        (1, "`classes` (int64[]) must be integers of shape [2], one for each image"),
        ([0.0, 1.0], "`classes` (float64[2]) must be integers of shape [2], one for each image"),
    ],
)
def test_classes_that_are_none(kind, classes, message):
    variables, _, _ = initial(Network())
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        explain(kind, variables, np.array(classes))


@KINDS
def test_a_class_that_is_none_gives_nan_where_it_cannot_be_read(kind):
    variables, _, _ = initial(Network())
    traced = jax.jit(lambda classes: explain(kind, variables, classes))
    found = np.asarray(traced(jnp.array([3, 4])))
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[0], explain(kind, variables, np.array([3, 0]))[0], rtol=1e-5)
    assert np.isnan(traced(jnp.array([3, -1]))[1]).all()
    with pytest.raises(ValueError, match=r"`classes` \(int32\[1\]\) must be integers of shape"):
        traced(jnp.array([3]))


@KINDS
def test_classes_of_few_bits(kind):
    """More classes than the type of the classes has values for."""
    model = Network(classes=300)
    variables = model.init(jax.random.key(0), IMAGES)
    options = {"stage": "second"} if kind == "grad_cam" else {}
    function = grad_cam if kind == "grad_cam" else input_saliency
    few, expected = (
        np.asarray(function(model, variables, IMAGES, np.array([250, 3], dtype), **options))
        for dtype in (np.uint8, np.int32)
    )
    np.testing.assert_array_equal(few, expected)
    assert expected.max() > 0


def test_a_stage_that_is_not():
    model = Network()
    variables, _, _ = initial(model)
    with pytest.raises(ValueError, match=r"^`stage` \(='layer4'\) .* of the model: first, second$"):
        grad_cam(model, variables, IMAGES, CLASSES)
