"""A random part of the stored image, resized to the size that the model sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from ...storage import whole_number
from ..resampling import Interpolation
from .base import Stage
from .random_box import Bounds, check_bounds, random_corner, random_sides


def _triangle(x: Array) -> Array:
    return jnp.maximum(0.0, 1.0 - jnp.abs(x))


def _cubic(x: Array) -> Array:
    # Keys' convolution with a = -1/2.
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0)
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def _lanczos(x: Array) -> Array:
    return jnp.where(jnp.abs(x) < 3.0, jnp.sinc(x) * jnp.sinc(x / 3.0), 0.0)


_FILTERS: Mapping[Interpolation, Callable[[Array], Array]] = MappingProxyType(
    {"bilinear": _triangle, "bicubic": _cubic, "lanczos": _lanczos}
)


def crop_and_resize(
    image: Array,
    corner: Array,
    sides: Array,
    size: tuple[int, int],
    interpolation: Interpolation = "bilinear",
) -> Array:
    """Cut a rectangle out of an image and resize it, as Pillow's `crop` and then `resize`.

    The rectangle may be a traced value: each pass is a product with a matrix whose entries are
    computed from it. Each pass is rounded to 8 bits, as Pillow does, so a pixel differs from
    Pillow's by one level at most.

    Args:
        image: uint8 `[height, width, channels]`.
        corner: int32 `[2]`, row and column of the rectangle's upper left corner.
        sides: int32 `[2]`, height and width of the rectangle, in pixels.
        size: height and width of the result, in pixels.
        interpolation: filter of the resize, which widens when the rectangle shrinks.

    Returns:
        uint8 `[*size, channels]`.
    """
    rows, columns = (
        _weights(corner[axis], sides[axis], image.shape[axis], size[axis], interpolation)
        for axis in range(2)
    )
    # Accelerators would round the factors of a product to fewer bits than the weights need.
    exact = jax.lax.Precision.HIGHEST
    x = image.astype(jnp.float32)
    x = _round(jnp.einsum("hwc,xw->hxc", x, columns, precision=exact))
    x = _round(jnp.einsum("hxc,yh->yxc", x, rows, precision=exact))
    return x.astype(jnp.uint8)


def _weights(
    first: Array, length: Array, source: int, target: int, interpolation: Interpolation
) -> Array:
    """Return what each source pixel weighs in each pixel of the result, float32.

    This is `resampling_taps` for a part of an axis, `first .. first + length - 1`.

    Returns:
        `[target, source]`; each row sums to one and is zero outside the part.
    """
    positions = jnp.arange(source, dtype=jnp.int32) - first
    # The distance of pixel centres in units of 1 / (2 target) pixels, exact as an integer.
    distances = (2 * positions[None] + 1) * target - (
        2 * jnp.arange(target, dtype=jnp.int32)[:, None] + 1
    ) * length
    stretched = distances.astype(jnp.float32) / (2 * jnp.maximum(length, target)).astype(
        jnp.float32
    )
    is_inside = ((positions >= 0) & (positions < length))[None]
    weights = jnp.where(is_inside, _FILTERS[interpolation](stretched), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _round(levels: Array) -> Array:
    return jnp.clip(jnp.floor(levels + 0.5), 0.0, 255.0)


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """Cuts out a rectangle of random area and shape and resizes it, as torchvision's.

    The area is uniform and so is the logarithm of width over height. A rectangle that does not fit
    into the image is drawn again; after ten tries it is the largest one in the middle whose ratio
    is in range. Its place is uniform. In a `Pipeline` it takes the place of the transform's resize
    and random crop, so each pixel is resampled once.

    Attributes:
        min_area: least area, as a fraction of the image's.
        max_area: greatest area, as a fraction of the image's.
        ratio: least and greatest width over height.
        size: height and width of the result, in pixels; `None` is the size of the images, and in a
            `Pipeline` its transform's crop.
        interpolation: filter of the resize; `None` is bilinear, and in a `Pipeline` its
            transform's filter.

    Raises:
        TypeError: on construction, if `size` has other than whole numbers.
        ValueError: on construction, if an argument is out of range.

    References:
        Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, section 6;
        https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.RandomResizedCrop.html
    """

    min_area: float = 0.08
    max_area: float = 1.0
    ratio: Bounds = (3 / 4, 4 / 3)
    size: tuple[int, int] | None = None
    interpolation: Interpolation | None = None
    stage: ClassVar[Stage] = "stored"
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0.0 < self.min_area <= 1.0:
            raise ValueError(f"`min_area` (={self.min_area}) must be in (0, 1]")
        if not self.min_area <= self.max_area <= 1.0:
            raise ValueError(
                f"`max_area` (={self.max_area}) must be in [`min_area`, 1] = [{self.min_area}, 1]"
            )
        check_bounds("ratio", self.ratio)
        if self.size is not None:
            size = tuple(whole_number("size", side, least=None) for side in self.size)
            if min(size) < 1:
                raise ValueError(f"`size` (={size}) must be a positive height and width")
            object.__setattr__(self, "size", size)
        if self.interpolation not in (None, *_FILTERS):
            raise ValueError(
                f"`interpolation` (={self.interpolation!r}) must be one of {', '.join(_FILTERS)}"
            )

    def sized(self, size: tuple[int, int], interpolation: Interpolation) -> RandomResizedCrop:
        """Return this augmentation with `size` and `interpolation` where it has none itself."""
        return dataclasses.replace(
            self,
            size=self.size or size,
            interpolation=self.interpolation or interpolation,
        )

    def __call__(self, keys: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Cut rectangles out and resize them; see `Augmentation`.

        Returns:
            uint8 `[batch, *size, channels]`, and the labels.

        Raises:
            ValueError: if the images are not uint8 `[batch, height, width, channels]`.
        """
        if images.ndim != 4 or images.dtype != jnp.uint8:
            raise ValueError(
                f"`images` is {images.dtype} {images.shape}; expected uint8 "
                "[batch, height, width, channels]"
            )
        height, width = shape = images.shape[1], images.shape[2]

        def crop(key: Array, image: Array) -> Array:
            corner, sides = self.draw(key, (height, width))
            return crop_and_resize(
                image, corner, sides, self.size or shape, self.interpolation or "bilinear"
            )

        return jax.vmap(crop)(keys, images), labels

    def draw(self, key: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Draw a rectangle.

        Args:
            key: a random key.
            shape: height and width of the image, in pixels.

        Returns:
            Its upper left corner, and its height and width, each int32 `[2]`.
        """
        sides_key, corner_key = jax.random.split(key)
        least, greatest = self.ratio
        drawn, fits = random_sides(
            sides_key,
            shape,
            (self.min_area, self.max_area),
            (1.0 / greatest, 1.0 / least),
            low=1,
            high=jnp.asarray(shape, jnp.int32),
        )
        height, width = shape
        middle = jnp.asarray(
            [
                max(1, min(height, round(width / least))),
                max(1, min(width, round(height * greatest))),
            ],
            jnp.int32,
        )
        sides = jnp.where(fits, drawn, middle)
        corner = random_corner(corner_key, shape, sides)
        return jnp.where(fits, corner, (jnp.asarray(shape, jnp.int32) - sides) // 2), sides
