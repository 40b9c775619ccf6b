"""JPEG files of photograph size, and the same images packed in other ways."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 4
_RATIO = 4 / 3
_QUALITY = 92


def encoded(count: int, width: int) -> list[bytes]:
    """Return JPEG files of parts of two photographs that scikit-learn ships, some mirrored.

    Args:
        count: how many.
        width: of each, in pixels; the height is three quarters of it.
    """
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    size = width, round(width / _RATIO)
    generator, files = np.random.default_rng(0), []
    for number in range(count):
        whole = photographs[number % len(photographs)]
        share = generator.uniform(0.7, 1.0)
        across, down = round(whole.width * share), round(whole.height * share)
        left = int(generator.integers(whole.width - across + 1))
        upper = int(generator.integers(whole.height - down + 1))
        part = whole.crop((left, upper, left + across, upper + down)).resize(size)
        data = io.BytesIO()
        (ImageOps.mirror(part) if number % 3 else part).save(data, "JPEG", quality=_QUALITY)
        files.append(data.getvalue())
    return files


def write_folder(root: Path, files: list[bytes]) -> None:
    """Write the images as files in class folders.

    Args:
        root: the new folder.
        files: the images.
    """
    for number, data in enumerate(files):
        path = root / str(number % CLASSES) / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tar(root: Path, files: list[bytes]) -> None:
    """Write the images in WebDataset's layout.

    Args:
        root: the new folder.
        files: the images.
    """
    root.mkdir()
    with tarfile.open(root / "train-0000.tar", "w") as tar:
        for number, data in enumerate(files):
            label = str(number % CLASSES).encode()
            for name, content in ((f"{number:06d}.jpg", data), (f"{number:06d}.cls", label)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_parquet(root: Path, files: list[bytes]) -> None:
    """Write the images in Hugging Face's layout.

    Args:
        root: the new folder.
        files: the images.
    """
    import pyarrow
    import pyarrow.parquet

    root.mkdir()
    images = [{"bytes": data, "path": None} for data in files]
    labels = [number % CLASSES for number in range(len(files))]
    table = pyarrow.table({"image": images, "label": labels})
    pyarrow.parquet.write_table(table, root / "train-00000-of-00001.parquet", row_group_size=100)


def write_array_record(root: Path, files: list[bytes]) -> None:
    """Write the images as a TFDS data set.

    Args:
        root: the new folder.
        files: the images.
    """
    import tensorflow_datasets as tfds

    class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=CLASSES),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for number, data in enumerate(files):
                # A file object: TFDS would call TensorFlow to encode an array.
                yield number, {"image": io.BytesIO(data), "label": number % CLASSES}

    tfds.disable_progress_bar()
    builder = Photographs(data_dir=root.parent / f"{root.name}-work", file_format="array_record")
    builder.download_and_prepare()
    Path(builder.data_dir).rename(root)


WRITERS: Mapping[str, Callable[[Path, list[bytes]], None]] = {
    "folder": write_folder,
    "tar": write_tar,
    "parquet": write_parquet,
    "array_record": write_array_record,
}
"""By the name of a source, what writes images in its form."""
