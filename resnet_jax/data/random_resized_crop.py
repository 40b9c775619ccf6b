"""The random crop that networks are trained with on photographs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image

from ..storage import whole_number
from .resampling import FILTERS, Interpolation

Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge of a part of an image, in pixels."""

_TRIES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """Cut a random part out of one image and resize it to a square.

    The part has a random share of the image's area (uniform in `scale`) and a random ratio of
    width to height (its logarithm uniform in that of `ratio`), and lies anywhere. If ten parts in
    a row exceed the image, the largest one in the middle is taken whose ratio is within `ratio`.
    The distribution is that of torchvision's `RandomResizedCrop`, and so are the pixels of a
    given part.

    Args:
        size: height and width of the result, in pixels.
        scale: least and largest share of the area.
        ratio: least and largest ratio of width to height.
        interpolation: filter of the resize: `"bilinear"`, `"bicubic"` or `"lanczos"`.

    Raises:
        TypeError: if `size` is no whole number.
        ValueError: if an argument is out of range.

    References:
        Szegedy et al.: Going deeper with convolutions. 2014, arXiv:1409.4842, section 6.

    >>> crop = RandomResizedCrop(size=2)
    >>> crop.apply(Image.new("RGB", (40, 30)), crop.draw(np.random.default_rng(0), 40, 30)).shape
    (2, 2, 3)
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole_number("size", self.size))
        for name, largest in (("scale", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if not (0 < low <= high <= largest and math.isfinite(high)):
                bound = " and at most 1" * (name == "scale")
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) must be two numbers above 0{bound}, the "
                    "smaller one first"
                )
        if self.interpolation not in FILTERS:
            raise ValueError(
                f"`interpolation` (={self.interpolation!r}) must be one of {', '.join(FILTERS)}"
            )

    def draw(self, generator: np.random.Generator, width: int, height: int) -> Box:
        """Draw the part of an image.

        Args:
            generator: the random numbers.
            width: of the image, in pixels.
            height: of the image, in pixels.
        """
        width, height = whole_number("width", width), whole_number("height", height)
        log_ratio = np.log(self.ratio)
        for _ in range(_TRIES):
            area = width * height * generator.uniform(*self.scale)
            ratio = math.exp(generator.uniform(*log_ratio))
            across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < across <= width and 0 < down <= height:
                upper = int(generator.integers(height - down + 1))
                left = int(generator.integers(width - across + 1))
                return left, upper, left + across, upper + down
        return self._middle(width, height)

    def apply(
        self, picture: Image.Image, box: Box, whole: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Cut out a part and resize it.

        Args:
            picture: an image of mode `L` or `RGB`.
            box: the part, in pixels of the whole image.
            whole: width and height of the image that `box` was drawn for, if `picture` is that
                image at a smaller size; None if it is the image itself.

        Returns:
            uint8 `[size, size, channels]`.
        """
        side, method = (self.size, self.size), Image.Resampling[self.interpolation.upper()]
        if whole is not None and whole != picture.size:
            across, down = picture.width / whole[0], picture.height / whole[1]
            left, upper, right, lower = box
            scaled = (left * across, upper * down, right * across, lower * down)
            part = picture.resize(side, method, scaled)
        else:
            # Not by the `box` of `resize`, whose filter would reach beyond the part.
            part = picture.crop(box)
            if part.size != side:
                part = part.resize(side, method)
        return np.asarray(part).reshape(self.size, self.size, -1)

    def _middle(self, width: int, height: int) -> Box:
        """Return the largest part in the middle with a ratio that is allowed."""
        low, high = self.ratio
        across = min(width, round(height * high))
        down = min(height, round(width / low))
        left, upper = (width - across) // 2, (height - down) // 2
        return left, upper, left + across, upper + down
