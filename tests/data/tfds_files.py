"""Data sets as TFDS prepares them: in shuffled array_record files."""

import contextlib
import io

from PIL import Image


def write_tfds(folder, files, class_names, version="3.0.2"):
    """Prepares CIFAR as `<folder>/<name>/<version>`, with ids in source order."""
    rows = {}
    for split in ("train", "test"):
        arrays = getattr(files, f"{split}_images"), getattr(files, f"{split}_labels")
        rows[split] = [
            {"id": f"{split}_{index:05d}", "image": png(image), "label": int(label)}
            for index, (image, label) in enumerate(zip(*arrays, strict=True))
        ]
    return write_rows(folder / files.name / version, rows, class_names, files.name)


def png(image):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def write_rows(folder, rows, class_names, name="photos"):
    """Prepares a version's folder of rows by split, without TensorFlow."""
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.2")

        def _info(self):
            first = next(iter(rows.values()))[0]
            kinds = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=class_names),
            }
            features = {key: kinds.get(key, tfds.features.Text()) for key in first}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in rows}

        def _generate_examples(self, split):
            for index, row in enumerate(rows[split]):
                # A file object: TFDS would call TensorFlow to encode an array.
                yield index, {**row, "image": io.BytesIO(row["image"])}

    Builder.name = name
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder = Builder(data_dir=folder.parent / "work", file_format="array_record")
        builder.download_and_prepare()
    builder.data_path.rename(folder)
    return folder
