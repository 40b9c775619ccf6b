"""STL-10: 5,000 labelled training and 8,000 test images of 96×96 pixels.

References:
    A. Coates, H. Lee, A. Y. Ng: An analysis of single-layer networks in unsupervised feature
    learning, AISTATS 2011. https://cs.stanford.edu/~acoates/stl10/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base import Arrays, DatasetError, Parts
from ..remote_file import RemoteFile
from .forms import Forms
from .layout import Layout, places, read_published, where
from .published import Published
from .trees import Tree

_SIDE = 96
_PIXELS = 3 * _SIDE * _SIDE
_FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")

STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@dataclass(frozen=True)
class Stl10Binary(Layout):
    """Layout of STL-10's binary files; the unlabelled images are not read.

    An image is its red, green and blue planes, each column by column; labels are 1 to 10.

    Attributes:
        digests: published checksums of the files, in the order train images, train labels, test
            images, test labels.
    """

    digests: tuple[str, ...]

    @property
    def what(self) -> str:
        """The files, for messages."""
        return ", ".join(_FILES)

    @property
    def published(self) -> bool:
        """Whether every file is compared with its published checksum: yes."""
        return True

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the names of the four files where one of them lies.

        Args:
            tree: the folder or archive.
        """
        for folder in places(tree):
            names = tuple(folder + name for name in _FILES)
            if any(map(tree.has, names)):
                return names
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images.

        Args:
            tree: the folder or archive.
            names: the four files.
            class_names: names in label order.

        Raises:
            DatasetError: if a file is missing, damaged, or not what it should be.
        """
        files = read_published(tree, dict(zip(names, self.digests, strict=True)))
        found = {name: np.frombuffer(data, np.uint8) for name, data in files}
        train, test = (_arrays(tree, names[at : at + 2], found, len(class_names)) for at in (0, 2))
        return Parts(train, test)


def _arrays(tree: Tree, names: Sequence[str], found: dict[str, np.ndarray], classes: int) -> Arrays:
    pixels, labels = (found[name] for name in names)
    if len(pixels) != len(labels) * _PIXELS or not len(labels):
        raise DatasetError(
            f"{where(tree, names[0])} has {len(pixels)} bytes; {len(labels)} labels need "
            f"{len(labels) * _PIXELS}, and at least one"
        )
    if labels.min() < 1 or labels.max() > classes:
        raise DatasetError(f"{where(tree, names[1])} holds labels outside 1 to {classes}")
    columns = pixels.reshape(-1, 3, _SIDE, _SIDE)
    images = np.ascontiguousarray(columns.transpose(0, 3, 2, 1))
    return Arrays(images, labels.astype(np.int32) - 1)


# The checksum of the archive is that of tensorflow_datasets/datasets/stl10/checksums.tsv; those of
# its files are in torchvision/datasets/stl10.py.
STL10_ARCHIVE = RemoteFile(
    name="stl10_binary.tar.gz",
    digest="sha256:f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
    urls=("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
    size=2_640_397_119,
)

load_stl10 = Published(
    sizes=(5_000, 8_000),
    forms=Forms(
        layouts=(
            Stl10Binary(
                digests=(
                    "md5:918c2871b30a85fa023e0c44e0bee87f",
                    "md5:5a34089d4802c674881badbb80307741",
                    "md5:7f263ba9f9e0b06b93213547f721ac82",
                    "md5:36f9794fa4beb8a2c72628de14fa638e",
                )
            ),
        ),
        archives=(STL10_ARCHIVE,),
    ),
    downloads=(STL10_ARCHIVE,),
)
