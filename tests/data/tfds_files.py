"""A data set as TFDS prepares it: in shuffled array_record files, with ids in source order."""

import contextlib
import io

from PIL import Image

SPLITS = ("train", "test")


def write_tfds(folder, files, class_names, version="3.0.2"):
    """Prepares `<folder>/<name>/<version>` without TensorFlow."""
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        name = files.name

        def _info(self):
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=class_names),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in SPLITS}

        def _generate_examples(self, split):
            images = getattr(files, f"{split}_images")
            labels = getattr(files, f"{split}_labels")
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                # A file object: TFDS would call TensorFlow to encode an array.
                png = io.BytesIO()
                Image.fromarray(image).save(png, "PNG")
                png.seek(0)
                yield index, {"id": f"{split}_{index:05d}", "image": png, "label": int(label)}

    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        Builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder / files.name / version
