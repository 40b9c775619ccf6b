"""Explanations of a prediction by parts of the image: input gradients and Grad-CAM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.module import InterceptorContext
from jax import Array
from numpy.typing import ArrayLike

from ..ops.dtypes import class_numbers


def input_saliency(
    model: nn.Module, variables: Mapping[str, Any], images: Array, classes: Array
) -> Array:
    """Return how strongly each pixel affects the logit of a class, in evaluation mode.

    This is the largest absolute gradient over the channels,
    `max_c |∂ logit[class] / ∂ image[y, x, c]|`.

    Args:
        model: module called as `model(x, train=False) -> logits [batch, classes]`.
        variables: variables of the model, `{"params", "batch_stats"}`.
        images: input of the model, `[batch, height, width, channels]`, normalised.
        classes: class of each image whose logit is explained, int `[batch]`.

    Returns:
        float32 `[batch, height, width]`, ≥ 0. Inside of a transformation, where values cannot be
        read, NaN for an image whose class is none.

    Raises:
        ValueError: if the classes are not an integer for each image, or one of them is no class.

    References:
        Simonyan et al. 2013, https://arxiv.org/abs/1312.6034
    """
    classes = _checked(classes, model, variables, images)
    return _input_saliency(model, variables, images, classes)


@partial(jax.jit, static_argnames="model")
def _input_saliency(
    model: nn.Module, variables: Mapping[str, Any], images: Array, classes: Array
) -> Array:
    """Return the saliency for classes that are checked."""

    def score(x: Array) -> tuple[Array, Array]:
        """Return the sum of the chosen logits, and which images have one."""
        logits: Any = model.apply(variables, x, train=False)
        return _chosen(logits, classes).sum(), _are_classes(classes, logits)

    # In evaluation mode the logits of an image depend on no other image, so the gradient of the
    # sum holds the gradient of each image.
    gradient, known = jax.grad(score, has_aux=True)(images)
    maps = jnp.abs(gradient).max(-1).astype(jnp.float32)
    return jnp.where(known[:, None, None], maps, jnp.nan)


def grad_cam(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: Array,
    classes: Array,
    *,
    stage: str = "layer4",
) -> Array:
    """Return where a stage's feature map raises the logit of a class, in evaluation mode.

    With `A` the feature map and `g = ∂ logit[class] / ∂ A` its gradient::

        relu(sum_k A[y, x, k] · mean_yx g[y, x, k])

    Args:
        model: module called as `model(x, train=False) -> logits [batch, classes]`. Its method
            `features(x)` returns the feature maps by the names of the stages, and its submodules
            `<stage>_0`, `<stage>_1`, … make up a stage.
        variables: variables of the model, `{"params", "batch_stats"}`.
        images: input of the model, `[batch, height, width, channels]`, normalised.
        classes: class of each image whose logit is explained, int `[batch]`.
        stage: name of the stage.

    Returns:
        float32 `[batch, height', width']`, ≥ 0, with the height and width of the feature map.
        Inside of a transformation, where values cannot be read, NaN for an image whose class is
        none.

    Raises:
        ValueError: if the model has no such stage, the classes are not an integer for each image,
            or one of them is no class.

    References:
        Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391
    """
    block = _last_block(variables["params"], stage)
    classes = _checked(classes, model, variables, images)
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
    """Return the Grad-CAM of a stage whose last submodule is `block`."""
    features: Any = model.apply(variables, images, method="features")
    values = features[stage]

    def score(offset: Array) -> tuple[Array, Array]:
        """Return the sum of the chosen logits, and which images have one.

        Args:
            offset: is added to the feature map.
        """

        def add(
            call: Callable[..., Any],
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            context: InterceptorContext,
        ) -> Any:
            """Add the offset to what `block` returns."""
            output = call(*args, **kwargs)
            chosen = context.method_name == "__call__" and context.module.path == (block,)
            return output + offset if chosen else output

        with nn.intercept_methods(add):
            logits: Any = model.apply(variables, images, train=False)
        return _chosen(logits, classes).sum(), _are_classes(classes, logits)

    # The gradient with respect to the map is the one with respect to what is added to it.
    gradient, known = jax.grad(score, has_aux=True)(jnp.zeros_like(values))
    weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
    maps = nn.relu((weights * values.astype(jnp.float32)).sum(-1))
    return jnp.where(known[:, None, None], maps, jnp.nan)


@partial(jax.jit, static_argnames="model")
def _logits(model: nn.Module, variables: Mapping[str, Any], images: Array) -> Any:
    """Return the logits; only their shape is ever asked for, which `jit` keeps."""
    return model.apply(variables, images, train=False)


def _checked(
    classes: ArrayLike, model: nn.Module, variables: Mapping[str, Any], images: Array
) -> Any:
    """Return the classes as an array, or raise ValueError unless each image has one.

    In a transformation only shapes and types are read.
    """
    found: Any = classes if isinstance(classes, Array) else np.asarray(classes)
    batch, count = _logits.eval_shape(model, variables, images).shape
    if found.shape != (batch,) or not jnp.issubdtype(found.dtype, jnp.integer):
        raise ValueError(
            f"`classes` ({found.dtype}{list(found.shape)}) must be integers of shape [{batch}], "
            "one for each image"
        )
    if isinstance(found, jax.core.Tracer) or not getattr(found, "is_fully_addressable", True):
        return found
    values = np.asarray(found)
    wrong = np.flatnonzero((values < 0) | (values >= count))
    if wrong.size:
        raise ValueError(
            f"`classes[{wrong[0]}]` (={values[wrong[0]]}) must be in [0, {count}), the classes of "
            "the logits"
        )
    return found


def _are_classes(classes: Array, logits: Array) -> Array:
    """Return whether each class is one of the logits', bool `[batch]`."""
    numbers = class_numbers(classes)
    return (numbers >= 0) & (numbers < logits.shape[-1])


def _chosen(logits: Any, classes: Array) -> Array:
    """Return each image's logit of its class, float32 `[batch]`."""
    return jnp.take_along_axis(logits, classes[:, None], axis=1)[:, 0].astype(jnp.float32)


def _last_block(params: Mapping[str, Any], stage: str) -> str:
    """Return the name of the last submodule of a stage, or raise ValueError."""
    found = [match for name in params if (match := re.fullmatch(r"(.+)_(\d+)", name))]
    indices = [int(match[2]) for match in found if match[1] == stage]
    if not indices:
        stages = ", ".join(sorted({match[1] for match in found})) or "none"
        raise ValueError(f"`stage` (={stage!r}) must be a stage of the model: {stages}")
    return f"{stage}_{max(indices)}"
