"""Encoded images from any source, decoded by several threads into one array."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..base import DatasetError
from ..image_decoding import MODES, ImageFileError, decode_bytes, pillow_settings
from ..image_transform import ImageTransform
from ..progress import Advance

_AT_A_TIME = 256
_SHOWN = 10


class Encoded(NamedTuple):
    """The contents of an image file.

    Attributes:
        position: place of the image in the array.
        name: what messages call it.
        data: the contents.
    """

    position: int
    name: str
    data: bytes


def decode_into(
    images: np.ndarray,
    files: Iterable[Encoded],
    *,
    fixed: bool,
    advance: Advance = lambda amount, /: None,
) -> None:
    """Decode images, several at a time, each into its place.

    Args:
        images: uint8 `[n, side, side, 3]`, where they go.
        files: the images, in any order; few of them are held at a time.
        fixed: whether each must have the array's size already. Otherwise the shortest edge is
            resized to `side` with Pillow's bilinear filter, and the middle is cropped.
        advance: is told now and then how many more are done.

    Raises:
        DatasetError: if images are damaged or of another size; it names the first ones.
    """
    side = images.shape[1]
    square = ImageTransform(resize=side, crop=side)

    def decode(file: Encoded) -> ImageFileError | None:
        try:
            image = decode_bytes(file.data, file.name, MODES[3])
        except ImageFileError as error:
            return ImageFileError(*error.args)  # without the frames, which would keep pixels
        if fixed and image.size != (side, side):
            width, height = image.size
            return ImageFileError(f"{file.name} has {width}×{height} pixels, not {side}×{side}")
        images[file.position] = square.pixels(image)
        return None

    damaged: list[ImageFileError] = []
    with pillow_settings(), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for chunk in _chunks(files):
            damaged += [error for error in pool.map(decode, chunk) if error is not None]
            advance(len(chunk))
    if damaged:
        more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
        raise DatasetError(
            f"{len(damaged)} images cannot be used: {'; '.join(map(str, damaged[:_SHOWN]))}{more}"
        )


def _chunks(files: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    iterator = iter(files)
    while chunk := list(itertools.islice(iterator, _AT_A_TIME)):
        yield chunk
