"""Your own data set: a folder of image files, one folder for each class."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from ...storage import expand_user, whole_number
from ..base import Arrays, Dataset, combined_digest
from ..image_decoding import MAX_PIXELS
from ..image_transform import ImageTransform
from .decoded_cache import Decoded, keep_decoded
from .decoding_key import decoding_key
from .folder_facts import FolderFacts
from .folder_layout import find_layout
from .folder_reading import read_parts
from .held_out import Files, MissingTest, divide
from .part_names import PARTS

_BLOCK = 1 << 16


class ImageFolder(NamedTuple):
    """A folder of images as a data set, and its validation part.

    Attributes:
        dataset: class names, training images (without those for validation) and test images, and
            the mean and standard deviation of each channel of the training images.
        valid: the images for validation.
        note: where decoded images were kept or found, in one line; empty if they were to be kept
            nowhere.
    """

    dataset: Dataset
    valid: Arrays
    note: str = ""


def load_image_folder(
    root: Path,
    *,
    side: int,
    channels: int = 3,
    fraction: float = 0.1,
    seed: int = 123,
    transform: ImageTransform | None = None,
    max_pixels: int = MAX_PIXELS,
    keep_in: Path | None = None,
    missing_test: MissingTest = "split",
    on_found: Callable[[FolderFacts], None] = lambda facts: None,
) -> ImageFolder:
    """Read `root/<class>/*.png` or `root/<part>/<class>/*.png` into memory.

    Classes are the sorted names of the folders; files are found below them at any depth, by their
    suffix, as `find_images` does, and read as `read_images` does. The parts are `train`, `valid`
    and `test`, in any usual spelling (`Training`, `val`, `dev`, …). A missing `valid` or `test` is
    split off the training images, the test images first: `floor(fraction * count)` images of each
    class, at least one, drawn with NumPy's legacy generator.

    The layout and the number of images of each class are checked first, then the beginning of
    every file, and then the files are read.

    Args:
        root: the folder.
        side: height and width of the arrays, in pixels; the images take `side * side * channels`
            bytes each, and reading them little more.
        channels: 1 for grey, 3 for RGB.
        fraction: share of each class that a missing part gets; above 0 and below 1/2.
        seed: seed of the split, `0 <= seed < 2**32`.
        transform: makes the squares by its `square`; its `resize` must be `side`. None resizes
            with Pillow's bilinear filter without keeping the proportions.
        max_pixels: most pixels that a file may have.
        keep_in: the data folder in which the decoded arrays are kept, see `keep_decoded`. As long
            as no name, size or time of change of the files differs, nor anything else that changes
            pixels, Pillow's release among them, they are then read from there, and no image file
            is opened; they are read-only. None decodes the files and keeps nothing.
        missing_test: `"valid"` takes the validation part, if there is one, for a missing `test`,
            as the same object.
        on_found: is called with what was found before any file is opened; an error that it raises
            ends the loading.

    Raises:
        DatasetError: if the folder has another layout, a class has too few images, or files are
            damaged; the message names the first ten of them, and a file in the temporary folder
            that lists all if there are more.
        TypeError: if `side`, `channels` or `max_pixels` is no whole number.
        ValueError: if an argument is out of range, or `root` is in the home folder of an unknown
            user.
    """
    if not 0 < fraction < 0.5:
        raise ValueError(f"`fraction` (={fraction}) must be above 0 and below 0.5")
    sizes: _Sizes = {
        "side": whole_number("side", side),
        "channels": whole_number("channels", channels),
        "max_pixels": whole_number("max_pixels", max_pixels),
    }
    if transform is not None and transform.resize != side:
        raise ValueError(f"`side` (={side}) must be the `resize` of `transform`, {transform}")
    root = expand_user(root)
    layout = find_layout(root)
    names, parts = layout.class_names, divide(layout, fraction, seed, missing_test)
    on_found(FolderFacts.of(root, layout, parts))
    del layout  # All paths once more.

    def decode() -> Decoded:
        return _decode(root, parts, transform, sizes)

    if keep_in is None:
        decoded = decode()
    else:
        key = decoding_key(root, parts, transform=transform, **sizes)
        decoded = keep_decoded(keep_in, key, decode)
    arrays = {
        part: Arrays(decoded.arrays[f"{part}_images"], decoded.arrays[f"{part}_labels"])
        for part in PARTS
    }
    if parts["test"] is parts["valid"]:
        arrays["test"] = arrays["valid"]
    mean, std = map(tuple, decoded.arrays["statistics"].tolist())
    digests = {name: digest for name, digest in decoded.digests.items() if name != "statistics"}
    dataset = Dataset(
        name="folder",
        class_names=names,
        train=arrays["train"],
        test=arrays["test"],
        mean=mean,
        std=std,
        fingerprint=combined_digest("\n".join(("folder", *names)), digests),
    )
    return ImageFolder(dataset, arrays["valid"], decoded.note)


class _Sizes(TypedDict):
    side: int
    channels: int
    max_pixels: int


def _decode(
    root: Path, parts: dict[str, Files], transform: ImageTransform | None, sizes: _Sizes
) -> Decoded:
    """Return the images of all parts, and the statistics of the training images."""
    resize = None if transform is None else transform.square
    found = read_parts(root, parts, resize=resize, **sizes)
    arrays = {
        f"{part}_{kind}": getattr(found[part], kind)
        for part in PARTS
        for kind in ("images", "labels")
    }
    arrays["statistics"] = np.array(channel_statistics(found["train"].images))
    return Decoded.of(arrays)


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel, as fractions of the full scale.

    Args:
        images: uint8 `[n, height, width, channels]`, with n at least 1.

    >>> channel_statistics(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    # Exact, and a block at a time, because `bincount` copies to integers of 8 bytes.
    pixels = images.reshape(-1, images.shape[3])
    counts = np.zeros((images.shape[3], 256))
    for start in range(0, len(pixels), _BLOCK):
        channels = pixels[start : start + _BLOCK].T
        counts += [np.bincount(channel, minlength=256) for channel in channels]
    shares, levels = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    means = (shares @ levels).tolist()
    variances = [share @ (levels - mean) ** 2 for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(math.sqrt(variance) for variance in variances)
