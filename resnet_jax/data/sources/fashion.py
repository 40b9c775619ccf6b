"""Fashion-MNIST from the four files that its authors and Debian distribute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..base import DatasetError, Parts
from ..data_folder import default_data_dir
from .idx import read_pair

# Debian's package dataset-fashion-mnist.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FILES = tuple(
    f"{prefix}-{kind}-ubyte.gz"
    for prefix in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)


@dataclass(frozen=True)
class FashionMnist:
    """Loader of Fashion-MNIST.

    Attributes:
        system_folder: where to look after the default data folder if the user names no folder.

    References:
        H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017.
    """

    system_folder: Path = DEBIAN_FOLDER

    def __call__(
        self,
        name: str,
        class_names: tuple[str, ...],
        *,
        archive: Path | None,
        data_dir: Path | None,
    ) -> Parts:
        """Read the first folder that holds one of the files: `archive`, then `data_dir`.

        The files are read anew at every start: that takes less than a second, and gzip's own
        checksum verifies them.

        Args:
            name: the name of the data set, for errors.
            class_names: every label must be below their number.
            archive: a folder with the four files.
            data_dir: likewise. If both are None, the default data folder and `system_folder`.

        Returns:
            Images and labels; the images have shape `[n, height, width, 1]`.

        Raises:
            DatasetError: if no folder holds the files, one is missing, or one is not valid.
        """
        given = [folder for folder in (archive, data_dir) if folder is not None]
        folders = given or [default_data_dir(), self.system_folder]
        folder = next((f for f in folders if any((f / file).is_file() for file in _FILES)), None)
        if folder is None:
            raise DatasetError(
                f"{name} is not in {' or '.join(map(str, folders))}: no {_FILES[0]} there. "
                "Name the folder of its four .gz files by --archive or --data-dir, install "
                "Debian's package dataset-fashion-mnist, or take the embedded data set by "
                "--dataset digits"
            )
        if missing := [file for file in _FILES if not (folder / file).is_file()]:
            raise DatasetError(f"{folder} lacks {', '.join(missing)}")
        train, test = (
            read_pair(folder, prefix, classes=len(class_names)) for prefix in ("train", "t10k")
        )
        if train.images.shape[1:] != test.images.shape[1:]:
            raise DatasetError(
                f"{folder} holds training images of shape {train.images.shape[1:]}, but test "
                f"images of shape {test.images.shape[1:]}"
            )
        return Parts(train, test)
