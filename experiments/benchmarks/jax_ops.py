"""The operations in JAX, one layer at a time: ours, or XLA's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

from resnet_jax.models import Conv, create_model
from resnet_jax.ops import batch_norm_train, conv2d, max_pool

from .bench import Loop
from .jax_bench import JaxBench
from .layers import Activations, Convolution, Layer


def layers_of(variant: str, size: int) -> Counter[Layer]:
    """Count the convolutions, normalisations and pools of a network.

    Args:
        variant: A name in `VARIANTS`, with a stem that pools.
        size: Side of an image, in pixels.
    """
    found: Counter[Convolution] = Counter()

    def note(function: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        layer = context.module
        if isinstance(layer, Conv):
            side, channels = arguments[0].shape[-2:]
            shape = (layer.features, layer.kernel_size, layer.stride, layer.groups)
            found[Convolution(side, channels, *shape)] += 1
        return function(*arguments, **keywords)

    with nn.intercept_methods(note):
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        jax.eval_shape(create_model(variant).init, jax.random.key(0), images)
    layers: Counter[Layer] = Counter(found)
    for convolution, count in found.items():
        norm = convolution.norm
        layers[norm] += count
        if convolution.of_images:
            layers[Activations("max pool", norm.side, norm.channels)] += 1
    return layers


class JaxOps(JaxBench):
    """The jobs of a layer.

    Args:
        layer: The layer.
        batch: Images.
        plain: Whether it is computed by XLA's own operations and JAX's own gradients.
    """

    turn_seconds = 0.1

    def __init__(self, *, layer: Layer, batch: int, plain: bool) -> None:
        super().__init__()
        function: Callable[..., Array]
        if isinstance(layer, Convolution):
            kernel = (layer.kernel, layer.kernel, layer.channels // layer.groups, layer.features)
            inputs = [_normal(batch, layer.side, layer.side, layer.channels), _normal(*kernel)]
            function = partial(_plain_convolution if plain else _our_convolution, layer)
        else:
            inputs = [_normal(batch, layer.side, layer.side, layer.channels)]
            ours, own = FUNCTIONS[layer.operation]
            function = own if plain else ours
        self._inputs, self._function = inputs, function
        self._gradient = _normal(*jax.eval_shape(function, *inputs).shape)

    def make(self, job: str) -> Loop:
        """Make the loop of a job of the layer."""
        function, arguments = self._function, [*self._inputs]
        if job != "forward":
            number = 1 if job == "kernel gradient" else 0
            function, arguments = partial(_pullback, function, number), [*arguments, self._gradient]

        jitted = jax.jit(function)

        def loop(count: int) -> None:
            for _ in range(count):
                result = jitted(*arguments)
            jax.block_until_ready(result)

        return loop


def _normal(*shape: int) -> Array:
    """Return reproducible normal values in float32."""
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


def _pullback(function: Callable[..., Array], number: int, *arguments: Array) -> Array:
    """Return the gradient for one argument; the last one is the gradient of the output."""
    *inputs, gradient = arguments

    def of_one(value: Array) -> Array:
        return function(*inputs[:number], value, *inputs[number + 1 :])

    of_input: Array = jax.vjp(of_one, inputs[number])[1](gradient)[0]
    return of_input


def _plain_convolution(layer: Convolution, x: Array, kernel: Array) -> Array:
    pad = layer.kernel // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (layer.stride, layer.stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.groups,
    )


def _our_convolution(layer: Convolution, x: Array, kernel: Array) -> Array:
    pad, stride = layer.kernel // 2, (layer.stride, layer.stride)
    return conv2d(x, kernel, stride=stride, padding=(pad, pad), groups=layer.groups)


def _plain_pool(x: Array) -> Array:
    sides = (1, 1)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), sides, sides, (0, 0))
    )


def _plain_norm(x: Array) -> Array:
    mean = x.mean((0, 1, 2), keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.square(x - mean).mean((0, 1, 2), keepdims=True) + 1e-5)


def _our_norm(x: Array) -> Array:
    """Normalise with a scale of 1 and a bias of 0."""
    channels = x.shape[-1:]
    return batch_norm_train(x, jnp.ones(channels), jnp.zeros(channels))[0]


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "batch norm": (_our_norm, _plain_norm),
    "max pool": (max_pool, _plain_pool),
}
"""Ours and XLA's own function of each operation on activations."""
