"""A trained network as one file that runs without this package: StableHLO by ``jax.export``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from jax import Array, export

from ..data import Transform
from ..models import ResNet

PLATFORMS = ("cpu", "cuda", "tpu")
"""That an exported file runs on."""

OUTPUTS = ("logits", "probabilities")


def to_stablehlo(
    model: ResNet,
    variables: Mapping[str, Any],
    *,
    transform: Transform | None,
    image_shape: tuple[int, int, int],
    output: Literal["logits", "probabilities"] = "logits",
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """The network in evaluation mode, its weights included, for batches of any size.

    ``jax.export.deserialize(data).call(images)`` runs it on any of the platforms. The program is
    plain StableHLO: convolutions and matrix products, and nothing that only this jaxlib or this
    machine could run. The one custom call is ``shape_assertion``, which JAX itself resolves when
    it loads a program for batches of any size.

    Args:
        model: the network.
        variables: its ``params`` and ``batch_stats``; they become part of the program.
        transform: the program takes uint8 images and begins with ``transform.center``; None takes
            float32 images, normalised already.
        image_shape: ``(height, width, channels)`` of the images that the program takes.
        output: float32 ``[batch, classes]``, of either kind.
        platforms: as JAX names them.

    Returns:
        What ``jax.export`` serializes; other versions of JAX read it for six months at least.

    Raises:
        ValueError: for another ``output``, or if the images are not the transform's or the
            network's.

    References:
        https://docs.jax.dev/en/latest/export/export.html
    """
    if output not in OUTPUTS:
        raise ValueError(f"`output` (={output!r}) must be one of {', '.join(OUTPUTS)}")

    def classify(images: Array) -> Array:
        x = images if transform is None else transform.center(images)
        logits = cast(Array, model.apply(variables, x)).astype(jnp.float32)
        return logits if output == "logits" else jax.nn.softmax(logits)

    dtype = jnp.float32 if transform is None else jnp.uint8
    shape = (*export.symbolic_shape("batch"), *image_shape)
    exported = export.export(jax.jit(classify), platforms=platforms)(
        jax.ShapeDtypeStruct(shape, dtype)
    )
    return bytes(exported.serialize())
