"""Saliency against closed forms: a linear network, and one with ReLUs."""

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

    def setup(self):
        block = nn.remat(Block) if self.remat else Block
        self.first_0, self.second_0, self.second_1 = (block(self.linear) for _ in range(3))
        self.fc = nn.Dense(4)

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


def test_a_stage_that_is_not():
    model = Network()
    variables, _, _ = initial(model)
    with pytest.raises(ValueError, match=r"^`stage` \(='layer4'\) .* of the model: first, second$"):
        grad_cam(model, variables, IMAGES, CLASSES)
