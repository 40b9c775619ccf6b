"""A figure as an image, for services that show images."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pixels(figure: Figure) -> np.ndarray:
    """Draw a figure.

    Returns:
        RGBA of dtype uint8, `[height, width, 4]`.
    """
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as image:
        return np.asarray(image.convert("RGBA"))
