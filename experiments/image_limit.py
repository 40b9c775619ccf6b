"""The option for how many pixels an image file may have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_jax.data import MAX_PIXELS


@dataclass(frozen=True)
class ImageLimit:
    """How large images may be."""

    max_megapixels: float = MAX_PIXELS / 1e6
    """Millions of pixels that an image may have; a small file may unpack to very many."""

    def check(self) -> None:
        """Raise a `ValueError` for a number out of range."""
        if not (self.max_megapixels > 0 and math.isfinite(self.max_megapixels)):
            raise ValueError(f"`max_megapixels` (={self.max_megapixels}) must be above 0")

    @property
    def max_pixels(self) -> int:
        """Most pixels that an image may have."""
        return max(1, round(self.max_megapixels * 1e6))
