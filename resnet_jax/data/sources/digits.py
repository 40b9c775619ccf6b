"""The handwritten digits that scikit-learn ships: real images, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..base import Arrays, DatasetError, Parts

_TRAIN = 1437  # 80 % of 1,797


def load_digits(
    name: str, class_names: tuple[str, ...], *, archive: Path | None, data_dir: Path | None
) -> Parts:
    """Read the 1,797 digits of 8×8 pixels and split them.

    The source has 17 grey levels; `v` becomes `round(v * 255 / 16)`. It comes sorted by writer and
    has no test set of its own: the images are shuffled with NumPy's legacy generator, seed 0, and
    the first 1,437 are for training and the other 360 for the test, in that order.

    Args:
        name: the name of the data set, for the error.
        class_names: unused; the labels are the digits.
        archive: must be None.
        data_dir: unused; the images come with scikit-learn.

    Returns:
        Images and labels; the images have shape `[n, 8, 8, 1]`.

    Raises:
        DatasetError: if `archive` is given.

    References:
        E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """
    if archive is not None:
        raise DatasetError(f"`archive` (={archive}) has no use for {name}; leave it out")
    from sklearn import datasets  # slow to import, and only this data set needs it

    source = datasets.load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = source.target.astype(np.int32)
    order = np.random.RandomState(0).permutation(len(labels))
    train, test = order[:_TRAIN], order[_TRAIN:]
    return Parts(Arrays(images[train], labels[train]), Arrays(images[test], labels[test]))
