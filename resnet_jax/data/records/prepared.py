"""Folders that TFDS prepared in array_record files, read through TFDS without TensorFlow.

TFDS takes a second to import, and is imported when such a folder is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...storage import first_line

KIND = "array_record"
"""TFDS's name of the file format."""


def missing_packages() -> str | None:
    """Return why no such folder can be read here; None if it can."""
    try:
        import tensorflow_datasets  # noqa: F401
        from array_record.python import array_record_data_source  # noqa: F401
    except Exception as error:  # a broken installation may raise anything
        return (
            "the packages tensorflow-datasets and array-record cannot both be imported "
            f"({first_line(error)})"
        )
    return None


class Prepared:
    """A data set in a folder that TFDS prepared.

    Args:
        folder: the folder of a version, with `dataset_info.json` and `features.json`.

    Attributes:
        images: names of the features with an image.
        labels: names of the classes of the features with a class, by the feature's name.
        files: the files of each split, in their order, by the split's name.

    Raises:
        Exception: of any kind, if TFDS cannot be imported or the folder is damaged.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow_datasets as tfds

        self._builder = tfds.builder_from_directory(folder)
        features = dict(self._builder.info.features)
        # Images stay encoded: TFDS would decode each with every access, by OpenCV if that is there.
        self._decoders = {name: tfds.decode.SkipDecoding() for name in features}
        image, label = tfds.features.Image, tfds.features.ClassLabel
        self.images = [name for name, feature in features.items() if isinstance(feature, image)]
        self.labels: dict[str, tuple[str, ...]] = {
            name: tuple(feature.names)
            for name, feature in features.items()
            if isinstance(feature, label)
        }
        # TFDS names the files of the format that it reads after it has been asked for them.
        self._builder.as_data_source(next(iter(self._builder.info.splits)))
        self.files: dict[str, list[Path]] = {
            name: [Path(path) for path in split.filepaths]
            for name, split in self._builder.info.splits.items()
        }

    def records(self, *splits: str) -> Any:
        """Return the records of splits, one behind the other, by their position.

        Each is a dictionary by the features' names; images and texts are bytes, and classes are
        numbers. The records can be sent to other processes by pickle.

        Args:
            splits: names of the splits.

        Raises:
            Exception: of any kind, if a file is missing or damaged.
        """
        return self._builder.as_data_source("+".join(splits), decoders=self._decoders)
