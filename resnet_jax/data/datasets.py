"""One door to every data set."""

from __future__ import annotations

import os
from pathlib import Path

from .base import Arrays, Dataset, DatasetError, array_digest, combined_digest
from .facts import FACTS
from .sources.cifar import load_cifar
from .sources.digits import load_digits
from .sources.fashion import DEBIAN_FOLDER, load_fashion_mnist

DATASETS: tuple[str, ...] = tuple(FACTS)
"""Names of the data sets that `load_dataset` knows."""


def default_data_dir() -> Path:
    """Folder for data where none is given.

    `$RESNET_JAX_DATA`, else `resnet_jax` in the user's cache folder (`$XDG_CACHE_HOME`, else
    `~/.cache`).
    """
    if named := os.environ.get("RESNET_JAX_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "resnet_jax"


def load_dataset(
    name: str, *, archive: Path | None = None, data_dir: Path | None = None
) -> Dataset:
    """Loads a data set into memory, in the order of its source.

    - `cifar10`, `cifar100`: prepared once with TFDS, from `archive` or else from the download, and
      kept in `data_dir`; later starts read the decoded arrays from there and verify them.
    - `fashion_mnist`: the four `.gz` files of the folder `archive` or `data_dir`; without either,
      of the default data folder or Debian's package.
    - `digits`: scikit-learn's, which needs neither folder nor download.

    Args:
        name: one of `DATASETS`.
        archive: a local copy of the source. For CIFAR the `.tar.gz` of the binary or the Python
            version; for Fashion-MNIST the folder of its files.
        data_dir: folder for data; `default_data_dir()` if None.

    Returns:
        The data set.

    Raises:
        DatasetError: if it cannot be had; no other data set is taken instead.

    >>> digits = load_dataset("digits")
    >>> digits.train.images.shape, len(digits.test), digits.class_names[:3]
    ((1437, 8, 8, 1), 360, ('0', '1', '2'))
    """
    if name not in FACTS:
        raise DatasetError(f"`dataset` (={name!r}) must be one of {', '.join(DATASETS)}.")
    if archive is not None:
        archive = Path(archive).expanduser()
    if data_dir is not None:
        data_dir = Path(data_dir).expanduser()

    if name == "digits":
        if archive is not None:
            raise DatasetError(f"`archive` (={archive}) is of no use to digits: leave it out.")
        train, test = load_digits()
        digests = _digests(train, test)
    elif name == "fashion_mnist":
        given = [folder for folder in (archive, data_dir) if folder is not None]
        train, test = load_fashion_mnist(given or [default_data_dir(), DEBIAN_FOLDER])
        digests = _digests(train, test)
    else:
        train, test, digests = load_cifar(name, archive, data_dir or default_data_dir())
    facts = FACTS[name]
    return Dataset(
        name=name,
        class_names=facts.class_names,
        train=train,
        test=test,
        mean=facts.mean,
        std=facts.std,
        fingerprint=combined_digest(name, digests),
    )


def _digests(train: Arrays, test: Arrays) -> dict[str, str]:
    return {
        "train_images": array_digest(train.images),
        "train_labels": array_digest(train.labels),
        "test_images": array_digest(test.images),
        "test_labels": array_digest(test.labels),
    }
