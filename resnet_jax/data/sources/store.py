"""CIFAR as a TFDS data set in array_record files, without TensorFlow.

Importing this module imports TFDS, which takes seconds.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from ...storage import first_line
from ..base import Arrays, DatasetError, Parts
from ..progress import Advance, progress_bar

STORE_VERSION = "1.0.0"
_SPLITS = ("train", "test")
_CITATION = "A. Krizhevsky: Learning multiple layers of features from tiny images, 2009."


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Stores arrays that are in memory already; `id` is their place in the source."""

    VERSION = tfds.core.Version(STORE_VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {STORE_VERSION: "PNG images with source-order ids."}

    def __init__(
        self,
        *,
        name: str,
        class_names: Sequence[str],
        parts: Parts,
        advance: Advance,
        **options: Any,
    ) -> None:
        self.name = name
        self._class_names = class_names
        self._arrays = {"train": parts.train, "test": parts.test}
        self._advance = advance
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=self._class_names),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images of 32×32 pixels, decoded from the authors' archive.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download here
        return {split: self._generate_examples(split) for split in _SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        arrays = self._arrays[split]
        for index, (image, label) in enumerate(zip(arrays.images, arrays.labels, strict=True)):
            # A file object: TFDS would call TensorFlow to encode an array.
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            png.seek(0)
            yield index, {"id": f"{split}_{index:05d}", "image": png, "label": int(label)}
            self._advance(1)


def prepare(folder: Path, name: str, class_names: Sequence[str], parts: Parts) -> None:
    """Write images as a TFDS data set.

    Args:
        folder: the folder to make, for one version of one data set.
        name: the data set.
        class_names: names in label order.
        parts: images and labels in source order.

    Raises:
        OSError: if the files cannot be written.
    """
    tfds.disable_progress_bar()  # three bars at once, and lines of them in a log file
    total = len(parts.train) + len(parts.test)
    with progress_bar(f"Preparing {name} (only once)", total) as advance:
        builder = _Builder(
            name=name,
            class_names=class_names,
            parts=parts,
            advance=advance,
            data_dir=folder.parent,
            file_format="array_record",
        )
        # TFDS announces a download, although there is none.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                builder.download_and_prepare()
            except RuntimeError as error:  # raised by array_record when the disk is full
                raise OSError(str(error)) from error
    Path(builder.data_dir).rename(folder)


def read_prepared(folder: Path, name: str) -> Parts:
    """Decode a prepared copy and put it back into source order.

    Args:
        folder: a folder that `prepare` made, or TFDS's own, in array_record format.
        name: the data set.

    Raises:
        DatasetError: if the copy is damaged or is not this data set.
    """
    try:
        builder = tfds.builder_from_directory(folder)
        sources = {split: builder.as_data_source(split) for split in _SPLITS}
        total = sum(map(len, sources.values()))
        with progress_bar(f"Reading {name} (only once)", total) as advance, _quiet():
            train, test = (_read_split(sources[split], split, advance) for split in _SPLITS)
    except Exception as error:  # a damaged file may raise anything
        raise DatasetError(
            f"the prepared copy of {name} in {folder} is damaged: {first_line(error)}. "
            "Remove that folder and start again"
        ) from error
    return Parts(train, test)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the one log line in which TFDS recommends OpenCV over Pillow."""

    def keep(record: logging.LogRecord) -> bool:
        return "OpenCV" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _read_split(source: Any, split: str, advance: Advance) -> Arrays:
    images = np.zeros((len(source), 32, 32, 3), np.uint8)
    labels = np.full(len(source), -1, np.int32)
    for record in source:
        prefix, _, number = bytes(record["id"]).decode().rpartition("_")
        if prefix != split or labels[int(number)] != -1:
            raise ValueError(f"unexpected or repeated id {record['id']!r}")
        images[int(number)] = record["image"]
        labels[int(number)] = record["label"]
        advance(1)
    return Arrays(images, labels)
