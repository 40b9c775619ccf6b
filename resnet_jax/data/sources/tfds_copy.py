"""Writes CIFAR as a TFDS data set in array_record files, without TensorFlow.

Importing this module imports TFDS, which takes a second.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from PIL import Image

from ..base import Parts
from ..progress import Advance, progress_bar
from ..records.prepared import KIND
from .tfds import COPY_VERSION

_SPLITS = ("train", "test")
_CITATION = "A. Krizhevsky: Learning multiple layers of features from tiny images, 2009."


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Stores arrays that are in memory already; `id` is their place in the source."""

    VERSION = tfds.core.Version(COPY_VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {COPY_VERSION: "PNG images with source-order ids."}

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
            file_format=KIND,
        )
        # TFDS announces a download, although there is none.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                builder.download_and_prepare()
            except RuntimeError as error:  # raised by array_record when the disk is full
                raise OSError(str(error)) from error
    Path(builder.data_dir).rename(folder)
