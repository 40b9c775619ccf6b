"""Resize, crop and normalise, on the device and inside the compiled step."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .products import fits_products, resize_and_crop
from .resampling import FILTERS, WEIGHT_BITS, Interpolation, resampling_taps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transform:
    """Resize, crop to a square, scale to [0, 1] and normalise each channel.

    The resized pixels are Pillow's, bit for bit: the same half-pixel centres, the same filters, a
    horizontal and then a vertical pass, each in 22-bit fixed point and rounded to 8 bits.
    (Pillow 13 swaps the passes of a tall image that shrinks; `vertical_first` does so, too.)
    Integers make that exact on every backend, whatever its matrix precision. Only the rows and
    columns inside the crop are computed, so the resized image is never made as a whole.

    A transform is hashable and holds no arrays: close a jitted function over it.

    Args:
        source: height and width of the images, in pixels.
        resize: height and width after the resize, in pixels; one number for both. An image of
            that size is not resampled.
        crop: height and width of the result, in pixels.
        mean: mean of each channel, as a fraction of the full scale.
        std: standard deviation of each channel, as a fraction of the full scale.
        interpolation: filter of the resize: `"bilinear"`, `"bicubic"` or `"lanczos"`.
        vertical_first: take the vertical pass before the horizontal one.

    Raises:
        ValueError: if an argument is out of range.

    >>> transform = Transform(source=(32, 32), resize=120, crop=110, mean=(0.5,), std=(0.25,))
    >>> images = jnp.zeros((4, 32, 32, 1), jnp.uint8)
    >>> transform.random(images, jax.random.key(0)).shape
    (4, 110, 110, 1)
    """

    source: tuple[int, int]
    resize: int | tuple[int, int] = 120
    crop: int = 110
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    vertical_first: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name in ("source", "resize", "crop"):
            _check_numbers(name, getattr(self, name), int, "whole numbers of pixels")
        for name in ("mean", "std"):
            _check_numbers(name, getattr(self, name), (int, float), "numbers, one per channel")
        _check_numbers("vertical_first", self.vertical_first, bool, "True or False")
        if not isinstance(self.source, tuple) or len(self.source) != 2 or min(self.source) < 1:
            raise ValueError(f"`source` (={self.source}) must be a positive height and width")
        if isinstance(self.resize, tuple) and len(self.resize) != 2:
            raise ValueError(f"`resize` (={self.resize}) must be a number, or a height and width")
        for name, value in {"resize": min(self.resized), "crop": self.crop}.items():
            if value < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.crop > min(self.resized):
            raise ValueError(f"`crop` (={self.crop}) must not exceed `resize` (={self.resize})")
        if self.interpolation not in FILTERS:
            raise ValueError(
                f"`interpolation` (={self.interpolation!r}) must be one of {', '.join(FILTERS)}"
            )
        tuples = isinstance(self.mean, tuple) and isinstance(self.std, tuple)
        if not tuples or not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"`mean` (={self.mean}) and `std` (={self.std}) must have one entry per channel"
            )
        if not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"`mean` (={self.mean}) must be finite")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ValueError(
                f"`std` (={self.std}) must be positive; it is 0 for a channel that has the same "
                "value in all pixels"
            )

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width after the resize, in pixels."""
        return self.resize if isinstance(self.resize, tuple) else (self.resize, self.resize)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column where the crop in the middle begins.

        Half a pixel rounds to even, as in torchvision's `CenterCrop`.
        """
        rows, columns = (round((side - self.crop) / 2) for side in self.resized)
        return rows, columns

    def random(self, images: jax.Array, key: jax.Array) -> jax.Array:
        """Crop each image at a place of its own, drawn uniformly.

        Args:
            images: uint8 `[batch, height, width, channels]`.
            key: a key from `jax.random.key`, or one for each image, `[batch]`. With its own key an
                image's place does not depend on the batch that it is in.

        Returns:
            float32 `[batch, crop, crop, channels]`.

        Raises:
            ValueError: if `key` is of another kind or shape, or the images
                differ from what the transform expects.
        """
        if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            raise ValueError(f"`key` (={key.dtype} {key.shape}) must come from `jax.random.key`")
        if key.shape not in ((), images.shape[:1]):
            raise ValueError(f"`key` has shape {key.shape}; expected () or {images.shape[:1]}")
        keys = jax.random.split(key, images.shape[0]) if key.ndim == 0 else key
        places = jnp.array(self.resized, jnp.int32) - self.crop + 1
        draw = jax.vmap(lambda k: jax.random.randint(k, (2,), 0, places, jnp.int32))
        return self.at(images, draw(keys))

    def center(self, images: jax.Array) -> jax.Array:
        """Crop each image in the middle, at `centre`.

        Args:
            images: uint8 `[batch, height, width, channels]`.

        Returns:
            float32 `[batch, crop, crop, channels]`.
        """
        return self.at(images, jnp.tile(jnp.array(self.centre, jnp.int32), (images.shape[0], 1)))

    def at(self, images: jax.Array, offsets: jax.Array) -> jax.Array:
        """Crop each image at a given place.

        Args:
            images: uint8 `[batch, height, width, channels]`.
            offsets: int32 `[batch, 2]`, row and column of the crop's upper left corner in the
                resized image, from 0 to `resized - crop`.

        Returns:
            float32 `[batch, crop, crop, channels]`.

        Raises:
            ValueError: if the type or shape of the images differs from what the transform expects.
        """
        height, width = self.source
        channels = len(self.mean)
        if images.ndim != 4 or images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"`images` has shape {images.shape}; "
                f"expected [batch, {height}, {width}, {channels}]"
            )
        if images.dtype != jnp.uint8:
            raise ValueError(f"`images` has dtype {images.dtype}; expected uint8")
        return self._normalise(jax.vmap(self._resize_and_crop)(images, offsets))

    def denormalise(self, x: jax.Array | np.ndarray) -> jax.Array:
        """Take normalised images back to [0, 1], for display.

        Args:
            x: `[..., channels]`, as the other methods return it.

        Returns:
            float32 `[..., channels]`, clipped to [0, 1].

        Raises:
            ValueError: if the number of channels differs from that of the transform.
        """
        if x.shape[-1:] != (len(self.mean),):
            raise ValueError(f"`x` has shape {x.shape}; expected [..., {len(self.mean)}]")
        shape = (1,) * (x.ndim - 1) + (-1,)
        std = jnp.asarray(self.std, jnp.float32).reshape(shape)
        mean = jnp.asarray(self.mean, jnp.float32).reshape(shape)
        return jnp.clip(jnp.asarray(x, jnp.float32) * std + mean, 0.0, 1.0)

    def _resize_and_crop(self, image: jax.Array, offset: jax.Array) -> jax.Array:
        """Resize and crop uint8 `[height, width, channels]` to int32 `[crop, crop, channels]`."""
        if self.vertical_first:
            turned = dataclasses.replace(
                self, source=self.source[::-1], resize=self.resized[::-1], vertical_first=False
            )
            image = image.transpose(1, 0, 2)
            return turned._resize_and_crop(image, offset[::-1]).transpose(1, 0, 2)
        sizes = zip(self.source, self.resized, strict=True)
        if not all(fits_products(*both, self.interpolation) for both in sizes):
            return self._by_rows(image, offset)
        by_products = partial(
            resize_and_crop,
            resized=self.resized,
            crop=self.crop,
            interpolation=self.interpolation,
        )
        # A TPU would fetch the rows of each image one after the other.
        return jax.lax.platform_dependent(image, offset, tpu=by_products, default=self._by_rows)

    def _by_rows(self, image: jax.Array, offset: jax.Array) -> jax.Array:
        """Resize and crop as `_resize_and_crop`, by sums of rows, horizontally first."""
        height, width = self.source
        channels = image.shape[-1]
        # The axis to resample comes first, so that each tap moves whole rows.
        x = image.astype(jnp.int32).transpose(1, 0, 2).reshape(width, height * channels)
        # A loop that is not unrolled keeps XLA from computing this pass again for every tap of
        # the second, into which it would fuse it.
        x = self._resample(x, 1, offset, unroll=False)
        x = x.reshape(self.crop, height, channels).transpose(1, 0, 2)
        x = x.reshape(height, self.crop * channels)
        x = self._resample(x, 0, offset, unroll=True)
        return x.reshape(self.crop, self.crop, channels)

    def _normalise(self, pixels: jax.Array) -> jax.Array:
        """Return (pixel / 255 - mean) / std, as one multiplication and one addition."""
        std = np.asarray(self.std, np.float64)
        scale = (1.0 / (255.0 * std)).astype(np.float32).reshape(1, 1, 1, -1)
        shift = (-np.asarray(self.mean, np.float64) / std).astype(np.float32).reshape(1, 1, 1, -1)
        return pixels.astype(jnp.float32) * scale + shift

    def _resample(self, x: jax.Array, axis: int, offset: jax.Array, *, unroll: bool) -> jax.Array:
        """Resize the first axis of int32 `[source, n]`, which is an image's `axis`, and crop."""
        source, target, start = x.shape[0], self.resized[axis], offset[axis]
        if source == target:
            return jax.lax.dynamic_slice_in_dim(x, start, self.crop)
        taps = resampling_taps(source, target, self.interpolation)
        first, weights = (
            jax.lax.dynamic_slice_in_dim(jnp.asarray(t), start, self.crop) for t in taps
        )

        def add_tap(tap: int | jax.Array, total: jax.Array) -> jax.Array:
            weight = jax.lax.dynamic_index_in_dim(weights, tap, axis=1)  # [crop, 1]
            return total + x.at[first + tap].get(mode="promise_in_bounds") * weight

        # Half of the last bit that stays rounds halves up.
        half = jnp.full((self.crop, x.shape[1]), 1 << (WEIGHT_BITS - 1), jnp.int32)
        total = jax.lax.fori_loop(0, taps.weights.shape[1], add_tap, half, unroll=unroll)
        pixels = total >> WEIGHT_BITS
        # Only a triangle has no negative weights.
        return pixels if self.interpolation == "bilinear" else pixels.clip(0, 255)


def _plain(value: Any) -> Any:
    """Return numbers of NumPy or JAX as Python's, and arrays and lists of them as tuples."""
    if isinstance(value, list | tuple) or np.ndim(value):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") else value


def _check_numbers(name: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """Raise unless a value, or each of a tuple, is a number of a kind.

    Raises:
        ValueError: naming the argument and what was expected.
    """
    values = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(number, kind) for number in values):
        raise ValueError(f"`{name}` (={value!r}) must be {expected}")
