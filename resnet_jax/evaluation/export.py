"""Export of a trained network to StableHLO: one file that runs without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from jax import Array, export

from ..data import Transform
from ..models import ResNet, fold_batch_norm

PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms that an exported program runs on, as JAX names them."""

OUTPUTS = ("logits", "probabilities")
"""Kinds of output that an exported program can have."""


def to_stablehlo(
    model: ResNet,
    variables: Mapping[str, Any],
    *,
    transform: Transform | None,
    image_shape: tuple[int, int, int],
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
        model: the network.
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

    folded, fewer = fold_batch_norm(model, variables)

    def classify(images: Array) -> Array:
        x = images if transform is None else transform.center(images)
        logits = cast(Array, folded.apply(fewer, x)).astype(jnp.float32)
        return logits if output == "logits" else jax.nn.softmax(logits)

    dtype = jnp.float32 if transform is None else jnp.uint8
    shape = (*export.symbolic_shape("batch"), *image_shape)
    exported = export.export(jax.jit(classify), platforms=platforms)(
        jax.ShapeDtypeStruct(shape, dtype)
    )
    return bytes(exported.serialize())
