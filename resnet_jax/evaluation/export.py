"""Export of a trained network to StableHLO: one file that runs without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, export

from ..data import Transform
from ..models import FoldedNetwork, fold_batch_norm
from ..storage import whole_number
from .flip import FlipAveraged

PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms that an exported program runs on, as JAX names them."""

OUTPUTS = ("logits", "probabilities")
"""Kinds of output that an exported program can have."""


def image_sizes(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the height, the width and the number of channels that are given.

    Args:
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: if it is anything else.
    """
    try:
        height, width, channels = (whole_number("image_shape", size) for size in image_shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"`image_shape` (={image_shape}) must be (height, width, channels), whole numbers of "
            "at least 1"
        ) from None
    return height, width, channels


def fold_once(
    model: nn.Module, variables: Mapping[str, Any]
) -> tuple[nn.Module, Mapping[str, Any]]:
    """Fold the batch normalisations of a network, unless they are folded already.

    Args:
        model: the network.
        variables: its variables.

    Returns:
        The folded network and its variables.
    """
    inner = model
    while isinstance(inner, FlipAveraged):
        inner = inner.model
    if isinstance(inner, FoldedNetwork):
        return model, variables
    return fold_batch_norm(model, variables)


def to_stablehlo(
    model: nn.Module,
    variables: Mapping[str, Any],
    *,
    transform: Transform | None,
    image_shape: Sequence[int],
    output: Literal["logits", "probabilities"] = "logits",
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Export a network in evaluation mode, together with its weights, for batches of any size.

    The batch normalisations are folded into the convolutions.
    `jax.export.deserialize(data).call(images)` runs the program on any of the platforms. It is
    plain StableHLO: convolutions and matrix products, and nothing that depends on this jaxlib or
    this machine. Its only custom call is `shape_assertion`, which JAX resolves when it loads a
    program for batches of any size.

    Args:
        model: the network, or a `FlipAveraged` one, or one that is folded already.
        variables: its `params` and `batch_stats`; they become part of the program.
        transform: transform whose `center` begins the program, which then takes uint8 images;
            None makes a program that takes normalised float32 images.
        image_shape: `(height, width, channels)` of the images that the program takes.
        output: whether the program returns logits or probabilities, float32 `[batch, classes]`.
        platforms: platforms to compile for, as JAX names them.

    Returns:
        The program as `jax.export` serializes it; newer versions of JAX can read it for at least
        six months.

    Raises:
        ValueError: if `output` is unknown, or if the transform or the network does not accept
            images of `image_shape`.

    References:
        https://docs.jax.dev/en/latest/export/export.html
    """
    if output not in OUTPUTS:
        raise ValueError(f"`output` (={output!r}) must be one of {', '.join(OUTPUTS)}")
    sizes = image_sizes(image_shape)
    folded, fewer = fold_once(model, variables)

    def classify(images: Array) -> Array:
        x = images if transform is None else transform.center(images)
        logits = cast(Array, folded.apply(fewer, x)).astype(jnp.float32)
        return logits if output == "logits" else jax.nn.softmax(logits)

    dtype = jnp.float32 if transform is None else jnp.uint8
    shape = (*export.symbolic_shape("batch"), *sizes)
    exported = export.export(jax.jit(classify), platforms=platforms)(
        jax.ShapeDtypeStruct(shape, dtype)
    )
    return bytes(exported.serialize())
