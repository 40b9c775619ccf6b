"""Your own data set: a folder of image files, one folder for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base import Arrays, Dataset, DatasetError, array_digest, combined_digest
from ..image_files import ImageFileError, read_images
from ..image_formats import SUFFIXES
from ..image_search import find_images
from ..progress import progress_bar

PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("valid", "val", "validation"),
    "test": ("test",),
}
"""Folders that a data set may already be divided into, with the names each may have."""

_AT_A_TIME = 256
_SHOWN = 10


class ImageFolder(NamedTuple):
    """A folder of images as a data set, and its validation part.

    Attributes:
        dataset: class names, training images (without those for validation) and test images, and
            the mean and standard deviation of each channel of the training images.
        valid: the images for validation.
    """

    dataset: Dataset
    valid: Arrays


def load_image_folder(
    root: Path, *, side: int, channels: int = 3, fraction: float = 0.1, seed: int = 123
) -> ImageFolder:
    """Read `root/<class>/*.png` or `root/<part>/<class>/*.png` into memory.

    Classes are the sorted names of the folders; files are found below them at any depth, by their
    suffix, and read as `read_images` does. The parts are `train`, `valid` (or `val`, `validation`)
    and `test`. A missing `valid` or `test` is split off the training images, the test images first:
    `floor(fraction * count)` images of each class, at least one, drawn with NumPy's legacy
    generator.

    Args:
        root: the folder.
        side: height and width of the arrays, in pixels; the images take `side * side * channels`
            bytes each.
        channels: 1 for grey, 3 for RGB.
        fraction: share of each class that a missing part gets; above 0 and below 1/2.
        seed: seed of the split, `0 <= seed < 2**32`.

    Raises:
        DatasetError: if the folder has another layout, a class has too few images, or files are
            damaged; the message names the first ten of them.
        ValueError: if an argument is out of range.
    """
    if not 0 < fraction < 0.5:
        raise ValueError(f"`fraction` (={fraction}) must be above 0 and below 0.5")
    files = _find_parts(root)
    names = tuple(files["train"])
    labelled = {
        part: [(path, names.index(name)) for name, paths in classes.items() for path in paths]
        for part, classes in files.items()
    }
    arrays = _read(root, labelled, channels, side)
    for part in ("test", "valid"):
        if part not in arrays:
            rest, held_out = _split(arrays["train"].labels, names, fraction, seed, part)
            whole = arrays["train"]
            arrays["train"] = Arrays(whole.images[rest], whole.labels[rest])
            arrays[part] = Arrays(whole.images[held_out], whole.labels[held_out])
    mean, std = channel_statistics(arrays["train"].images)
    digests = {
        f"{part}_{kind}": array_digest(getattr(arrays[part], kind))
        for part in PARTS
        for kind in ("images", "labels")
    }
    dataset = Dataset(
        name="folder",
        class_names=names,
        train=arrays["train"],
        test=arrays["test"],
        mean=mean,
        std=std,
        fingerprint=combined_digest("\n".join(("folder", *names)), digests),
    )
    return ImageFolder(dataset, arrays["valid"])


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel, as fractions of the full scale.

    Args:
        images: uint8 `[n, height, width, channels]`, with n at least 1.

    >>> channel_statistics(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    # Exact, and a part at a time, because `bincount` copies to integers of 8 bytes.
    counts = np.zeros((images.shape[3], 256))
    for start in range(0, len(images), _AT_A_TIME):
        channels = np.moveaxis(images[start : start + _AT_A_TIME], 3, 0)
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in channels]
    shares, levels = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    means = (shares @ levels).tolist()
    variances = [share @ (levels - mean) ** 2 for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(math.sqrt(variance) for variance in variances)


def _find_parts(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Find the files of each class in each part that exists; `train` always does."""
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"`data_dir` (={root}) {state}; {_LAYOUT}")
    parts = {}
    for part, spellings in PARTS.items():
        found = [root / name for name in spellings if (root / name).is_dir()]
        if len(found) > 1:
            raise DatasetError(
                f"`data_dir` (={root}) has both {found[0].name}/ and {found[1].name}/; keep one"
            )
        if found:
            parts[part] = found[0]
    divided = "train" in parts
    if not divided:
        if parts:
            raise DatasetError(
                f"`data_dir` (={root}) has {', '.join(f.name + '/' for f in parts.values())} but "
                f"no train/; {_LAYOUT}"
            )
        parts = {"train": root}
    files = {part: _find_classes(folder) for part, folder in parts.items()}
    train = files["train"]
    empty = [name for name, paths in train.items() if not paths]
    if empty:
        raise DatasetError(
            f"the class {empty[0]} has no image in {parts['train'] / empty[0]} "
            f"({', '.join(SUFFIXES)}); {len(empty)} of {len(train)} classes are empty"
        )
    if len(train) < 2:
        raise DatasetError(
            f"`data_dir` (={root}) has {len(train) or 'no'} class folder{'s' * (not train)} in "
            f"{parts['train']}; at least 2 are needed: {_LAYOUT}"
        )
    for part, classes in files.items():
        unknown = [name for name in classes if name not in train]
        if unknown:
            raise DatasetError(
                f"{parts[part]} has the class {unknown[0]}, which {parts['train']} lacks; "
                "a class needs images to train on"
            )
        if not any(classes.values()):
            raise DatasetError(
                f"{parts[part]} has no image in class folders; remove it to split its part off "
                "the training images"
            )
    return files


_LAYOUT = "expected image files in DATA_DIR/<class>/ or in DATA_DIR/train/<class>/"


def _find_classes(folder: Path) -> dict[str, list[Path]]:
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {path.name: find_images(path).paths for path in folders}


def _read(
    root: Path, labelled: Mapping[str, list[tuple[Path, int]]], channels: int, side: int
) -> dict[str, Arrays]:
    """Read all images of all parts; report all damaged ones together."""
    damaged: list[ImageFileError] = []
    arrays = {}
    total = sum(map(len, labelled.values()))
    with progress_bar(f"Reading {total:,} images of {root}", total) as advance:
        for part, examples in labelled.items():
            images = np.empty((len(examples), side, side, channels), np.uint8)
            for start in range(0, len(examples), _AT_A_TIME):
                paths = [path for path, _ in examples[start : start + _AT_A_TIME]]
                read = read_images(paths, channels=channels, side=side)
                for index, image in enumerate(read, start):
                    if isinstance(image, ImageFileError):
                        damaged.append(image)
                    else:
                        images[index] = image
                advance(len(paths))
            labels = np.array([label for _, label in examples], np.int32)
            arrays[part] = Arrays(images, labels)
    if damaged:
        listed = "; ".join(map(str, damaged[:_SHOWN]))
        more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
        raise DatasetError(
            f"{len(damaged)} of {total} images cannot be used; repair or remove them: "
            f"{listed}{more}"
        )
    return arrays


def _split(
    labels: np.ndarray, names: tuple[str, ...], fraction: float, seed: int, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those held out of every class, both ascending."""
    generator = np.random.RandomState(seed)
    held_out = []
    for label, name in enumerate(names):
        positions = np.flatnonzero(labels == label)
        count = max(1, math.floor(fraction * len(positions)))
        if len(positions) <= count:
            raise DatasetError(
                f"the class {name} has too few images to split off some for {part}; "
                "each class needs 3, or 2 beside a test/ or valid/ folder"
            )
        held_out.append(generator.permutation(positions)[:count])
    chosen = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
