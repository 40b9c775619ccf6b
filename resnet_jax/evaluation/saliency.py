"""What in an image speaks for a class: input gradients and Grad-CAM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.module import InterceptorContext
from jax import Array


@partial(jax.jit, static_argnames="model")
def input_saliency(
    model: nn.Module, variables: Mapping[str, Any], images: Array, classes: Array
) -> Array:
    """How much each pixel would change a class's logit, the model in evaluation mode.

    The largest absolute gradient over the channels, `max_c |∂ logit[class] / ∂ image[y, x, c]|`.

    Args:
        model: a module whose call is `model(x, train=False) -> logits [batch, classes]`.
        variables: its variables, `{"params", "batch_stats"}`.
        images: the model's input `[batch, height, width, channels]`, normalised.
        classes: of which to explain the logit, int `[batch]`.

    Returns:
        float32 `[batch, height, width]`, at least 0.

    References:
        Simonyan et al. 2013, https://arxiv.org/abs/1312.6034
    """

    def score(x: Array) -> Array:
        return _chosen(model.apply(variables, x, train=False), classes).sum()

    # In evaluation mode no image bears on another's logits: the sum has each one's own gradient.
    return jnp.abs(jax.grad(score)(images)).max(-1).astype(jnp.float32)


def grad_cam(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: Array,
    classes: Array,
    *,
    stage: str = "layer4",
) -> Array:
    """Where a stage's map speaks for a class, the model in evaluation mode.

    With `A` the map and `g = ∂ logit[class] / ∂ A` its gradient::

        relu(sum_k A[y, x, k] · mean_yx g[y, x, k])

    Args:
        model: a module whose call is `model(x, train=False) -> logits [batch, classes]`, whose
            method `features(x)` returns the map by the stage's name, and which makes it by its
            submodules `<stage>_0`, `<stage>_1`, …
        variables: its variables, `{"params", "batch_stats"}`.
        images: the model's input `[batch, height, width, channels]`, normalised.
        classes: of which to explain the logit, int `[batch]`.
        stage: of the model.

    Returns:
        float32 `[batch, height', width']`, at least 0, of the stage's size.

    Raises:
        ValueError: the model has no such stage.

    References:
        Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391
    """
    block = _last_block(variables["params"], stage)
    return _grad_cam(model, stage, block, variables, images, classes)


@partial(jax.jit, static_argnames=("model", "stage", "block"))
def _grad_cam(
    model: nn.Module,
    stage: str,
    block: str,
    variables: Mapping[str, Any],
    images: Array,
    classes: Array,
) -> Array:
    features: Any = model.apply(variables, images, method="features")
    values = features[stage]

    def score(offset: Array) -> Array:
        def add(
            call: Callable[..., Any],
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            context: InterceptorContext,
        ) -> Any:
            output = call(*args, **kwargs)
            chosen = context.method_name == "__call__" and context.module.path == (block,)
            return output + offset if chosen else output

        with nn.intercept_methods(add):
            logits = model.apply(variables, images, train=False)
        return _chosen(logits, classes).sum()

    # The gradient by the map is the one by what is added to it.
    gradient = jax.grad(score)(jnp.zeros_like(values))
    weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
    return nn.relu((weights * values.astype(jnp.float32)).sum(-1))


def _chosen(logits: Any, classes: Array) -> Array:
    """Each image's logit of its class, `[batch]`."""
    return jnp.take_along_axis(logits, classes[:, None], axis=1)[:, 0].astype(jnp.float32)


def _last_block(params: Mapping[str, Any], stage: str) -> str:
    """The name of a stage's last submodule."""
    found = [match for name in params if (match := re.fullmatch(r"(.+)_(\d+)", name))]
    indices = [int(match[2]) for match in found if match[1] == stage]
    if not indices:
        stages = ", ".join(sorted({match[1] for match in found})) or "none"
        raise ValueError(f"`stage` (={stage!r}) must be a stage of the model: {stages}")
    return f"{stage}_{max(indices)}"
