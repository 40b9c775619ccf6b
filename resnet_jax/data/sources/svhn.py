"""Street View House Numbers: cropped digits of 32×32 pixels, 73,257 to train on and 26,032 to test.

References:
    Y. Netzer et al.: Reading digits in natural images with unsupervised feature learning, NIPS
    workshop 2011. http://ufldl.stanford.edu/housenumbers/
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base import Arrays, DatasetError, Parts
from ..remote_file import RemoteFile
from .forms import Forms
from .layout import Layout, places, read_published, where
from .published import Published
from .trees import Tree

_SIDE = 32
_ADDRESS = "http://ufldl.stanford.edu/housenumbers/"

# Sizes and checksums are those of tensorflow_datasets/datasets/svhn_cropped/checksums.tsv.
SVHN_FILES = (
    RemoteFile(
        name="train_32x32.mat",
        digest="sha256:435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        urls=(f"{_ADDRESS}train_32x32.mat",),
        size=182_040_794,
    ),
    RemoteFile(
        name="test_32x32.mat",
        digest="sha256:cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        urls=(f"{_ADDRESS}test_32x32.mat",),
        size=64_275_384,
    ),
)


@dataclass(frozen=True)
class SvhnMatlab(Layout):
    """Layout of SVHN's two MATLAB files; the `extra` images are not read.

    `X` holds the images as `[height, width, channels, n]`, `y` their digits, with 10 for 0.

    Attributes:
        files: the published files, that of the training first.
    """

    files: tuple[RemoteFile, RemoteFile] = SVHN_FILES

    @property
    def what(self) -> str:
        """The files, for messages."""
        return " and ".join(file.name for file in self.files)

    @property
    def published(self) -> bool:
        """Whether every file is compared with its published checksum: yes."""
        return True

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the names of the two files where both of them lie.

        Args:
            tree: the folder or archive.
        """
        for folder in places(tree):
            names = tuple(folder + file.name for file in self.files)
            if all(map(tree.has, names)):
                return names
        return None

    def refusal(self, tree: Tree) -> str | None:
        """Return which file is missing where the other is.

        Args:
            tree: the folder or archive.
        """
        for folder in places(tree):
            names = [folder + file.name for file in self.files]
            missing = [name for name in names if not tree.has(name)]
            if len(missing) == 1:
                return f"{tree.path} lacks {missing[0]}"
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images.

        Args:
            tree: the folder or archive.
            names: the two files.
            class_names: names in label order.

        Raises:
            DatasetError: if a file is damaged or not the published one.
        """
        digests = {name: file.digest for name, file in zip(names, self.files, strict=True)}
        parts = {
            name: _arrays(data, where(tree, name), len(class_names))
            for name, data in read_published(tree, digests)
        }
        return Parts(*(parts[name] for name in names))


def _arrays(data: bytes, place: str, classes: int) -> Arrays:
    from scipy.io import loadmat  # slow to import, and only this data set needs it

    try:
        content = loadmat(io.BytesIO(data), variable_names=("X", "y"))
        pixels, digits = content["X"], content["y"].ravel()
    except Exception as error:  # a damaged file may raise anything
        raise DatasetError(f"cannot read {place}: {error!r}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (_SIDE, _SIDE, 3, len(digits)):
        raise DatasetError(
            f"{place} holds {pixels.dtype} {pixels.shape}; expected uint8 "
            f"({_SIDE}, {_SIDE}, 3, {len(digits)})"
        )
    if digits.min(initial=1) < 1 or digits.max(initial=1) > classes:
        raise DatasetError(f"{place} holds labels outside 1 to {classes}")
    images = np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))
    return Arrays(images, (digits % classes).astype(np.int32))


load_svhn = Published(
    sizes=(73_257, 26_032),
    forms=Forms(layouts=(SvhnMatlab(),)),
    downloads=SVHN_FILES,
)
