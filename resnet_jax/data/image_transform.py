"""The evaluation transform of pretrained weights, for images of any size."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image

from ..storage import whole_number
from .given_image import GivenImage, as_picture
from .image_decoding import MODES
from .resampling import Interpolation
from .transforms import Transform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's training images by channel (RGB), as a fraction of the full scale."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's training images by channel, as a fraction of the full scale."""

CropMode = Literal["center", "squash", "border"]
"""How an oblong image becomes a square."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Resize, crop to a square and normalise one image, as the evaluation of its weights does.

    Called with an image on the host it returns the same numbers, to the last bit, as
    `timm.data.create_transform` and torchvision's presets: Pillow's resize of the whole image,
    torchvision's rounding of edges and offsets, and `(pixel / 255 - mean) / std` in float32.
    The one exception is grey images of 16 bits: they are scaled to 8, as those of data folders
    are, where timm and torchvision turn every level above 255 white. `on_device` gives the same
    pixels for batches of one size, inside a compiled program.

    The defaults are those of torchvision's weights `IMAGENET1K_V1`; `IMAGENET1K_V2` takes
    `resize=232`.

    Args:
        resize: length of an edge after the resize, in pixels: the shorter one (`"center"`), both
            (`"squash"`), or the longer one (`"border"`).
        crop: height and width of the result, in pixels.
        crop_mode: `"center"` keeps the proportions and crops in the middle, `"squash"` does not
            keep them, `"border"` keeps them and adds borders of the colour `mean`.
        interpolation: filter of the resize: `"bilinear"`, `"bicubic"` or `"lanczos"`.
        mean: mean of each channel, as a fraction of the full scale; one entry takes grey images,
            three take RGB.
        std: standard deviation of each channel, as a fraction of the full scale.

    Raises:
        ValueError: if an argument is out of range.

    >>> transform = ImageTransform(resize=256, crop=224, interpolation="bicubic")
    >>> transform(np.zeros((100, 300, 3), np.uint8)).shape
    (224, 224, 3)
    """

    resize: int = 256
    crop: int = 224
    crop_mode: CropMode = "center"
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.crop_mode not in ("center", "squash", "border"):
            raise ValueError(
                f"`crop_mode` (={self.crop_mode!r}) must be one of center, squash, border"
            )
        if len(self.mean) not in MODES:
            raise ValueError(f"`mean` (={self.mean}) must have 1 entry, or 3 for RGB")
        checked = Transform(
            source=(1, 1),
            resize=self.resize,
            crop=self.crop,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )
        for name in ("resize", "crop"):
            object.__setattr__(self, name, getattr(checked, name))

    @classmethod
    def from_timm(cls, config: Mapping[str, Any], *, test_size: bool = False) -> ImageTransform:
        """Return the transform that a `pretrained_cfg` of timm describes.

        Args:
            config: its entries; those that are missing have timm's defaults.
            test_size: take `test_input_size` and `test_crop_pct` where they are given.

        Raises:
            ValueError: if the images are not square, or an entry is out of range.
        """
        known = {name: value for name, value in config.items() if value is not None}
        test = {
            name: known[f"test_{name}"]
            for name in ("input_size", "crop_pct")
            if test_size and f"test_{name}" in known
        }
        known |= test
        _, height, width = known.get("input_size", (3, 224, 224))
        if height != width:
            raise ValueError(f"`input_size` (={known['input_size']}) must be square")
        return cls(
            resize=math.floor(height / known.get("crop_pct", 0.875)),
            crop=height,
            crop_mode=known.get("crop_mode", "center"),
            interpolation=known.get("interpolation", "bicubic"),
            mean=tuple(known.get("mean", IMAGENET_MEAN)),
            std=tuple(known.get("std", IMAGENET_STD)),
        )

    def __call__(self, image: GivenImage) -> np.ndarray:
        """Transform an image.

        Args:
            image: a Pillow image of any size, with up to 16 bits a sample, or uint8 `[height,
                width, channels]`; a grey one is taken for RGB, and the other way round, as `mean`
                asks.

        Returns:
            float32 `[crop, crop, channels]`.

        Raises:
            ValueError: if the array is of another type or shape, or the image has no pixels, more
                bits a sample, or 16 of which it uses so few that it would be next to black.
        """
        pixels = self.pixels(image).astype(np.float32) / np.float32(255)
        return (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    def pixels(self, image: GivenImage) -> np.ndarray:
        """Resize and crop an image without normalising it.

        Args:
            image: as when the transform is called.

        Returns:
            uint8 `[crop, crop, channels]`.

        Raises:
            ValueError: as when the transform is called.
        """
        return self._window(image, self.crop, 0)

    def square(self, image: GivenImage) -> np.ndarray:
        """Resize an image, and cut off only as much of it as makes it a square.

        The crop in the middle of the result, as `Transform.center` makes it, is what `pixels`
        returns, to the last bit; crops at other places augment the images of a training.

        Args:
            image: as when the transform is called.

        Returns:
            uint8 `[resize, resize, channels]`.

        Raises:
            ValueError: as when the transform is called.
        """
        return self._window(image, self.resize, round((self.resize - self.crop) / 2))

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image has after the resize, in pixels.

        Args:
            height: of the image, in pixels.
            width: of the image, in pixels.

        Raises:
            TypeError: if one of them is no whole number.
            ValueError: if one is not positive.
        """
        height, width = whole_number("height", height), whole_number("width", width)
        if self.crop_mode == "squash":
            return self.resize, self.resize
        if self.crop_mode == "border":
            ratio = max(height / self.resize, width / self.resize)
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        longer = int(self.resize * max(height, width) / min(height, width))
        return (self.resize, longer) if height <= width else (longer, self.resize)

    def on_device(self, height: int, width: int) -> Transform:
        """Return the transform of batches of one size, for a compiled program.

        Its `center` gives the pixels of this one; the normalisation is one multiplication and one
        addition, so that its results differ by float32's rounding.

        Args:
            height: of the images, in pixels.
            width: of the images, in pixels.

        Raises:
            TypeError: if one of them is no whole number.
            ValueError: if one is not positive, and for `"border"`, which is made on the host
                alone.
        """
        if self.crop_mode == "border":
            raise ValueError(
                "`crop_mode` (='border') adds borders on the host alone; call the transform itself"
            )
        resized = self.resized(height, width)
        return Transform(
            source=(height, width),
            resize=resized,
            crop=self.crop,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            vertical_first=_takes_vertical_pass_first((height, width), resized, self.interpolation),
        )

    def _window(self, image: GivenImage, side: int, margin: int) -> np.ndarray:
        """Resize an image and cut out a square that begins `margin` pixels before the crop."""
        picture = as_picture(image, MODES[len(self.mean)])
        height, width = self.resized(picture.height, picture.width)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling[self.interpolation.upper()])
        left, top = (self._offset(length) - margin for length in (width, height))
        whole = np.asarray(picture).reshape(height, width, len(self.mean))
        if min(height, width) < side:
            return self._with_border(whole, side, top, left)
        return whole[top : top + side, left : left + side]

    def _offset(self, side: int) -> int:
        """Return where the crop begins; half a pixel rounds as torchvision and timm do."""
        if side < self.crop:
            return -((self.crop - side) // 2)
        return round((side - self.crop) / 2)

    def _with_border(self, pixels: np.ndarray, side: int, top: int, left: int) -> np.ndarray:
        """Cut a square out of uint8 `[height, width, channels]`; its corner may lie outside."""
        fill = np.array([round(255 * value) for value in self.mean], np.uint8)
        result = np.broadcast_to(fill, (side, side, len(fill))).copy()
        inside = pixels[max(top, 0) :, max(left, 0) :]
        row, column = max(-top, 0), max(-left, 0)
        inside = inside[: side - row, : side - column]
        result[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
        return result


@functools.lru_cache(maxsize=32)
def _takes_vertical_pass_first(
    source: tuple[int, int], target: tuple[int, int], interpolation: Interpolation
) -> bool:
    """Return whether Pillow resamples the columns of an image before its rows.

    Since Pillow 13 it does so for tall images. The result of the first pass is rounded, so the
    order is seen in the pixels; the rule is that of the installed release, which is asked.

    Args:
        source: height and width of the image, in pixels.
        target: height and width after the resize, in pixels.
        interpolation: the filter.
    """
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, source, dtype=np.uint8))

    def resize(picture: Image.Image, height: int, width: int) -> Image.Image:
        return picture.resize((width, height), Image.Resampling[interpolation.upper()])

    rows_first = resize(resize(image, source[0], target[1]), *target)
    return resize(image, *target).tobytes() != rows_first.tobytes()
