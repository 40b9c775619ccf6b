"""The same networks as Flax NNX modules.

A network here computes what its linen form computes, and holds the same parameters and running
statistics under the same names; `from_linen` and `to_linen` convert between the two.

>>> import jax.numpy as jnp, optax
>>> from flax import nnx
>>> model = resnet20(num_classes=10, base_planes=4, rngs=nnx.Rngs(0))
>>> model.fc.kernel.shape
(16, 10)
>>> optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
>>> @nnx.jit
... def step(model, optimizer, images, labels):
...     def loss_fn(model):
...         losses = optax.softmax_cross_entropy_with_integer_labels(model(images), labels)
...         return losses.mean()
...
...     loss, gradients = nnx.value_and_grad(loss_fn)(model)
...     optimizer.update(model, gradients)
...     return loss
>>> step(model, optimizer, jnp.ones((4, 8, 8, 3)), jnp.arange(4)).shape
()
"""

from .network import ResNet, from_linen, to_linen
from .variants import (
    create_model,
    preact_resnet18,
    preact_resnet34,
    preact_resnet50,
    preact_resnet110,
    preact_resnet164,
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
    resnext29_2x64d,
    resnext29_4x64d,
    resnext29_8x64d,
    resnext29_32x4d,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet16_8,
    wide_resnet28_10,
    wide_resnet40_4,
    wide_resnet50_2,
    wide_resnet101_2,
)

__all__ = [
    "ResNet",
    "create_model",
    "from_linen",
    "preact_resnet18",
    "preact_resnet34",
    "preact_resnet50",
    "preact_resnet110",
    "preact_resnet164",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnext29_2x64d",
    "resnext29_4x64d",
    "resnext29_8x64d",
    "resnext29_32x4d",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "to_linen",
    "wide_resnet16_8",
    "wide_resnet28_10",
    "wide_resnet40_4",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
