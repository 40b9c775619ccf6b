"""Tiny ImageNet: 200 classes of ImageNet at 64×64 pixels, 500 images of each to train on.

The labels of its test part were never published, so that its validation part is the test here.

References:
    Y. Le, X. Yang: Tiny ImageNet visual recognition challenge, Stanford CS 231N, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...storage import printable
from ..base import DatasetError, Parts
from ..progress import progress_bar
from ..remote_file import RemoteFile
from .class_images import images_in, read_labelled
from .forms import Forms
from .layout import Layout, places, where
from .published import Published
from .tiny_imagenet_names import TINY_IMAGENET_CLASSES
from .trees import Tree

_ANNOTATIONS = "val/val_annotations.txt"
_VAL = "val/images/"


@dataclass(frozen=True)
class TinyImages(Layout):
    """Layout of `train/<class>/images/` and `val/images/` with `val/val_annotations.txt`.

    Training images are in the order of the classes and of the files' names in each, test images in
    that of the annotations.

    Attributes:
        classes: names of the class folders, in label order.
        side: height and width of the images, in pixels.
    """

    classes: tuple[str, ...]
    side: int = 64

    @property
    def what(self) -> str:
        """The files, for messages."""
        return f"train/{self.classes[0]}/images/ … {_ANNOTATIONS}"

    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the name of the annotations, of the test images, and of the training images.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            if tree.has(place + _ANNOTATIONS) and self._missing(tree, place) is None:
                names = [place + _ANNOTATIONS, *images_in(tree, place + _VAL)]
                for name in self.classes:
                    names += images_in(tree, f"{place}train/{name}/images/")
                return tuple(names)
        return None

    def refusal(self, tree: Tree) -> str | None:
        """Return what is missing beside the annotations or the class folders.

        Args:
            tree: the folder or archive.
        """
        for place in places(tree):
            if tree.has(place + _ANNOTATIONS):
                return self._missing(tree, place)
            if f"{place}train/{self.classes[0]}/" in tree.folders(f"{place}train/"):
                return f"{where(tree, place + _ANNOTATIONS)} is missing"
        return None

    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images.

        Args:
            tree: the folder or archive.
            names: what `find` returned.
            class_names: unused; the folders are known.

        Raises:
            DatasetError: if images or labels are missing, or images damaged.
        """
        annotations, *images = names
        place = annotations.removesuffix(_ANNOTATIONS)
        labels = {name: label for label, name in enumerate(self.classes)}
        train = {
            name: labels[name.split("/")[-3]]
            for name in images
            if not name.startswith(place + _VAL)
        }
        test = {
            f"{place}{_VAL}{file}": label
            for file, label in self._annotated(tree, annotations, labels).items()
        }
        with progress_bar(f"Reading {len(images):,} images", len(train) + len(test)) as advance:
            return Parts(
                read_labelled(tree, train, side=self.side, fixed=True, advance=advance),
                read_labelled(tree, test, side=self.side, fixed=True, advance=advance),
            )

    def _missing(self, tree: Tree, place: str) -> str | None:
        """Return which class folders are missing, or None."""
        found = set(tree.folders(f"{place}train/"))
        missing = [name for name in self.classes if f"{place}train/{name}/" not in found]
        if not missing:
            return None
        return f"{printable(str(tree.path / place / 'train'))} lacks {', '.join(missing[:3])}"

    def _annotated(self, tree: Tree, name: str, labels: dict[str, int]) -> dict[str, int]:
        """Return the label of each test image, by its file name."""
        data = next((data for _, data in tree.read([name])), b"")
        annotated = {}
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            file, *rest = line.split("\t")
            if not rest or rest[0] not in labels or "/" in file:
                raise DatasetError(f"line {number} of {where(tree, name)} names no class")
            annotated[file] = labels[rest[0]]
        return annotated


# The authors publish no checksum; independent loaders of others agree on this one.
TINY_IMAGENET_ARCHIVE = RemoteFile(
    name="tiny-imagenet-200.zip",
    digest="md5:90528d7ca1a48142e341f4ef8d21d0de",
    urls=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    size=248_100_043,
)

load_tiny_imagenet = Published(
    sizes=(100_000, 10_000),
    forms=Forms(
        layouts=(TinyImages(tuple(TINY_IMAGENET_CLASSES)),), archives=(TINY_IMAGENET_ARCHIVE,)
    ),
    downloads=(TINY_IMAGENET_ARCHIVE,),
)
