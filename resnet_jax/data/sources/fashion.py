"""Fashion-MNIST from the four files that its authors and Debian distribute."""

from __future__ import annotations

from pathlib import Path

from ..base import Arrays, DatasetError
from ..facts import FACTS
from .idx import read_pair

# Debian's package dataset-fashion-mnist.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FILES = tuple(
    f"{prefix}-{kind}-ubyte.gz"
    for prefix in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)


def load_fashion_mnist(folders: list[Path]) -> tuple[Arrays, Arrays]:
    """Reads Fashion-MNIST from the first folder that holds one of its files.

    The files are read anew at every start: that takes less than a second, and gzip's own checksum
    verifies them.

    Args:
        folders: where to look.

    Returns:
        `(train, test)`, images of shape `[n, 28, 28, 1]`.

    Raises:
        DatasetError: if no folder holds the files, one is missing, or one is not as it should be.

    References:
        H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017.
    """
    folder = next((f for f in folders if any((f / name).is_file() for name in _FILES)), None)
    if folder is None:
        raise DatasetError(
            f"Fashion-MNIST is not in {' or '.join(map(str, folders))}: no {_FILES[0]} there. "
            "Ways on: name the folder of its four .gz files by --archive or --data-dir; install "
            "Debian's package dataset-fashion-mnist; or take the embedded data set by "
            "--dataset digits."
        )
    if missing := [name for name in _FILES if not (folder / name).is_file()]:
        raise DatasetError(f"{folder} lacks {', '.join(missing)}.")
    classes = len(FACTS["fashion_mnist"].class_names)
    train, test = (read_pair(folder, prefix, classes=classes) for prefix in ("train", "t10k"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DatasetError(
            f"{folder} holds training images of shape {train.images.shape[1:]}, but test images of "
            f"shape {test.images.shape[1:]}."
        )
    return train, test
