"""One image, as users have it: of Pillow, or an array."""

from __future__ import annotations

import os

import jax
import numpy as np
from PIL import Image

from .image_decoding import MODES
from .image_depth import depth_of, to_8_bits

GivenImage = Image.Image | np.ndarray | jax.Array
"""A Pillow image with up to 16 bits a sample, or uint8 `[height, width, 1 or 3]`."""


def as_picture(image: GivenImage, mode: str) -> Image.Image:
    """Return an image as a Pillow image with 8 bits a sample.

    Args:
        image: the image.
        mode: `L` or `RGB`, of the result.

    Raises:
        ValueError: if the image is something else, has no pixels, more bits a sample, or 16 of
            which it uses so few that it would be next to black.
    """
    picture = image if isinstance(image, Image.Image) else _of_array(image)
    if min(picture.size) < 1:
        raise ValueError(
            f"`image` has no pixels: it is {picture.height} pixels high and {picture.width} wide"
        )
    if not picture.mode.startswith(("I", "F")):
        return picture.convert(mode)
    # Pillow's `convert` would cut the levels off at 255. What is known of them must not depend on
    # whether the image was used before, so it is loaded.
    picture.load()
    try:
        return to_8_bits(picture, depth_of(picture), mode)
    except ValueError as error:
        raise ValueError(f"`image` of mode {picture.mode}: {error}") from None


def _of_array(image: np.ndarray | jax.Array) -> Image.Image:
    """Return uint8 `[height, width, channels]` as a Pillow image."""
    if isinstance(image, str | os.PathLike):
        raise ValueError(f"`image` (={str(image)!r}) is a path; open it by PIL.Image.open")
    expected = "expected a Pillow image or uint8 [height, width, 1 or 3]"
    if not hasattr(image, "__array__"):
        raise ValueError(f"`image` is of type {type(image).__name__}; {expected}")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in MODES:
        raise ValueError(f"`image` is {pixels.dtype} {list(pixels.shape)}; {expected}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
