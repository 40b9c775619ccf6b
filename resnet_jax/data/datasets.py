"""The registry of data sets, one row each, and the function that loads one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from ..storage import expand_user
from .base import Dataset, DatasetError, Parts, combined_digest
from .class_names import check_names
from .image_transform import IMAGENET_MEAN, IMAGENET_STD
from .sources.cifar import CIFAR10_NAMES, CIFAR100_NAMES, load_cifar10, load_cifar100
from .sources.digits import load_digits
from .sources.fashion import FashionMnist
from .sources.imagenette import IMAGENETTE_CLASSES, IMAGENETTE_SIDE, load_imagenette
from .sources.stl10 import STL10_NAMES, load_stl10
from .sources.svhn import load_svhn
from .sources.tiny_imagenet import load_tiny_imagenet
from .sources.tiny_imagenet_names import TINY_IMAGENET_CLASSES


class Loader(Protocol):
    """Reads the images of a data set."""

    def __call__(
        self,
        name: str,
        class_names: tuple[str, ...],
        *,
        archive: Path | None,
        data_dir: Path | None,
    ) -> Parts:
        """Load the images in the order of their source.

        Args:
            name: the name of the row.
            class_names: its class names; every label must be below their number.
            archive: a local copy of the source, if the user named one.
            data_dir: the folder for data, if the user named one.

        Raises:
            DatasetError: if they cannot be loaded.
        """


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """What is known of a data set before it is read, and its loader.

    Attributes:
        class_names: names in label order.
        side: height and width of the images, in pixels.
        mean: mean of each channel, as a fraction of the full scale.
        std: standard deviation of each channel, as a fraction of the full scale.
        load: reads its images.

    Raises:
        ValueError: if a class name is no text, has no UTF-8, or is the name of another class.
    """

    class_names: tuple[str, ...]
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Loader

    def __post_init__(self) -> None:
        check_names(self.class_names)


_FASHION_NAMES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"

DATASETS: Mapping[str, DatasetSpec] = MappingProxyType(
    {
        "cifar10": DatasetSpec(
            class_names=CIFAR10_NAMES,
            side=32,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
            load=load_cifar10,
        ),
        "cifar100": DatasetSpec(
            class_names=CIFAR100_NAMES,
            side=32,
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            load=load_cifar100,
        ),
        "fashion_mnist": DatasetSpec(
            class_names=tuple(_FASHION_NAMES.split(",")),
            side=28,
            mean=(0.2860,),
            std=(0.3530,),
            load=FashionMnist(),
        ),
        "svhn": DatasetSpec(
            class_names=tuple("0123456789"),
            side=32,
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
            load=load_svhn,
        ),
        "stl10": DatasetSpec(
            class_names=STL10_NAMES,
            side=96,
            mean=(0.4467, 0.4398, 0.4066),
            std=(0.2603, 0.2566, 0.2713),
            load=load_stl10,
        ),
        "tiny_imagenet": DatasetSpec(
            class_names=tuple(TINY_IMAGENET_CLASSES.values()),
            side=64,
            mean=(0.4802, 0.4481, 0.3975),
            std=(0.2770, 0.2691, 0.2821),
            load=load_tiny_imagenet,
        ),
        "imagenette": DatasetSpec(
            class_names=tuple(IMAGENETTE_CLASSES.values()),
            side=IMAGENETTE_SIDE,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            load=load_imagenette,
        ),
        # The statistics were measured on the 1,437 training images.
        "digits": DatasetSpec(
            class_names=tuple("0123456789"),
            side=8,
            mean=(0.3054,),
            std=(0.3757,),
            load=load_digits,
        ),
    }
)
"""Every data set by its name. To add one, write its loader in `sources/` and a row here."""


def load_dataset(
    name: str,
    *,
    archive: Path | None = None,
    data_dir: Path | None = None,
    datasets: Mapping[str, DatasetSpec] = DATASETS,
) -> Dataset:
    """Load a data set into memory, in the order of its source.

    - `cifar10`, `cifar100`: read once from `archive`, from what `data_dir` or TFDS's own folder
      holds, or else from the download, and kept as arrays in `data_dir`; later starts read those
      and verify them. The source may be the authors' archive, its files (extracted, or in a `.zip`
      or `.tar`), Hugging Face's parquet files, TFDS's array_record files, or an image folder
      `train/<class>/…`, `test/<class>/…`; it is known by its contents. The authors' files are
      prepared as a TFDS data set in `data_dir` first, and read from it.
    - `svhn`, `stl10`, `tiny_imagenet`, `imagenette`: read once from the authors' files in the same
      ways, without TFDS. The images of Imagenette are squares of 160 pixels, the middle of the
      images at their shortest edge.
    - `fashion_mnist`: the four `.gz` files of the folder `archive` or `data_dir`; without either,
      of the default data folder or Debian's package.
    - `digits`: scikit-learn's, which needs neither a folder nor a download.

    Args:
        name: a key of `datasets`.
        archive: a local copy of the source: a file or folder. For Fashion-MNIST the folder of its
            files.
        data_dir: folder for data; `default_data_dir()` if None.
        datasets: the data sets to choose from.

    Raises:
        DatasetError: if it cannot be loaded; no other data set is taken instead.
        ValueError: if `archive` or `data_dir` is in the home folder of an unknown user.

    >>> digits = load_dataset("digits")
    >>> digits.train.images.shape, len(digits.test), digits.class_names[:3]
    ((1437, 8, 8, 1), 360, ('0', '1', '2'))
    """
    if name not in datasets:
        raise DatasetError(f"`dataset` (={name!r}) must be one of {', '.join(datasets)}")
    spec = datasets[name]
    parts = spec.load(
        name,
        spec.class_names,
        archive=None if archive is None else expand_user(archive),
        data_dir=None if data_dir is None else expand_user(data_dir),
    )
    return Dataset(
        name=name,
        class_names=spec.class_names,
        train=parts.train,
        test=parts.test,
        mean=spec.mean,
        std=spec.std,
        fingerprint=combined_digest(name, parts.digests),
    )
