"""CIFAR's published images as a TFDS data set in the data folder: made once, and read from it."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.data import DATASETS, DatasetError, load_dataset

from .tfds_files import write_tfds

ROOT = Path(__file__).parents[2]
PATHS = (ROOT, ROOT / "tests", ROOT / "tests" / "experiments")


def load(files, folder, archive=None):
    return load_dataset(files.name, archive=archive, data_dir=folder, datasets=files.datasets)


def same(dataset, files):
    return all(
        (getattr(getattr(dataset, part), kind) == getattr(files, f"{part}_{kind}")).all()
        for part in ("train", "test")
        for kind in ("images", "labels")
    )


def state(folder):
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_copy_is_array_record_and_shuffled(cifar, tmp_path, name):
    import tensorflow_datasets as tfds

    files = cifar(name, per_batch=30)
    load(files, tmp_path / "d", files.binary)
    folder = tmp_path / "d" / name / "1.0.0"
    assert json.loads((folder / "dataset_info.json").read_text())["fileFormat"] == "array_record"
    source = tfds.builder_from_directory(folder).as_data_source("train")
    ids = [bytes(record["id"]).decode() for record in source]
    assert sorted(ids) == [f"train_{i:05d}" for i in range(len(files.train_labels))]
    assert ids != sorted(ids)  # so that putting them in order is really needed
    assert source.dataset_info.features["label"].names == list(DATASETS[name].class_names)
    record = source[5]
    number = int(bytes(record["id"]).decode().rpartition("_")[2])
    assert (record["image"] == files.train_images[number]).all()
    assert record["label"] == files.train_labels[number]


def test_the_images_are_those_of_the_copy(cifar, tmp_path):
    files, other = cifar(seed=0), cifar(seed=1)
    write_tfds(tmp_path / "d", other, DATASETS["cifar10"].class_names, version="1.0.0")
    assert same(load(files, tmp_path / "d", files.binary), other)


def test_a_copy_of_an_older_version_is_used_and_left_as_it_is(cifar, tmp_path, server):
    files = cifar()
    folder = write_tfds(tmp_path / "d", files, DATASETS["cifar10"].class_names, version="1.0.0")
    before = state(folder)
    first = load(files, tmp_path / "d")
    assert same(first, files)
    assert not server.requests
    assert state(folder) == before
    assert (tmp_path / "d" / "arrays" / "cifar10" / "manifest.json").exists()
    shutil.rmtree(folder)
    assert load(files, tmp_path / "d").fingerprint == first.fingerprint


def test_a_damaged_copy_is_explained(cifar, tmp_path):
    files = cifar()
    load(files, tmp_path / "d", files.binary)
    shutil.rmtree(tmp_path / "d" / "arrays")
    record = next((tmp_path / "d").rglob("*test.array_record*"))
    data = bytearray(record.read_bytes())
    data[len(data) // 2] ^= 0xFF
    record.write_bytes(data)
    before = state(tmp_path / "d" / "cifar10")
    with pytest.raises(DatasetError, match=r"copy of cifar10 .* is damaged: .* Remove"):
        load(files, tmp_path / "d")
    assert state(tmp_path / "d" / "cifar10") == before  # it is the user's to remove
    assert not (tmp_path / "d" / "arrays").exists()


def test_what_lies_in_the_place_of_the_copy_is_left_there(cifar, tmp_path, caplog):
    files = cifar()
    place = tmp_path / "d" / "cifar10" / "1.0.0"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        assert same(load(files, tmp_path / "d", files.binary), files)
    assert caplog.messages == [
        f"cifar10 is read without a copy for TFDS: {place} holds something else"
    ]
    assert [path.name for path in place.iterdir()] == ["mine.txt"]


def test_other_forms_make_no_copy(cifar, tmp_path):
    files = cifar()
    mine = write_tfds(tmp_path / "mine", files, DATASETS["cifar10"].class_names)
    assert same(load(files, tmp_path / "d", mine), files)
    assert not (tmp_path / "d" / "cifar10").exists()


def test_the_folder_of_tfds_is_found(cifar, tmp_path, server, tfds_folder, caplog):
    files = cifar()
    write_tfds(tfds_folder, files, DATASETS["cifar10"].class_names)
    before = state(tfds_folder)
    with caplog.at_level(logging.WARNING):
        assert same(load(files, tmp_path / "d"), files)
    assert f"{tfds_folder} has no published checksum" in caplog.text
    assert not server.requests
    assert state(tfds_folder) == before
    # Published files go before it.
    shutil.copy(files.python, tmp_path / "d" / "cifar-10-python.tar.gz")
    load(files, tmp_path / "d")
    assert (tmp_path / "d" / "arrays" / "cifar10").exists()


def test_tfrecord_files_in_the_folder_of_tfds_have_a_way_on(cifar, tmp_path, server, tfds_folder):
    (tfds_folder / "cifar10" / "3.0.2").mkdir(parents=True)
    info = tfds_folder / "cifar10" / "3.0.2" / "dataset_info.json"
    info.write_text(json.dumps({"name": "cifar10", "fileFormat": "tfrecord"}))
    with pytest.raises(DatasetError, match=r"404 .*tfds convert_format.*--archive"):
        load(cifar(), tmp_path / "d")


REFUSE = '''
import importlib.machinery
import sys
from pathlib import Path

looks_installed, refused, folder = sys.argv[1:]


class Refuse:
    """Makes packages look as if they were not installed, or fails if they are imported."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in refused.split():
            if looks_installed == "no":
                raise ModuleNotFoundError("No module named " + repr(name))
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise SystemExit("imported " + spec.name)  # which no handler of errors takes

    def exec_module(self, module):
        raise AssertionError


sys.meta_path.insert(0, Refuse())
folder = Path(folder)
from resnet_jax.data import load_dataset
from tests.data.cifar_files import CifarFiles

'''


def run(code, *arguments, folder):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", REFUSE + code, *arguments, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PATHS))},
        capture_output=True,
        text=True,
        check=False,
    )


NO_TENSORFLOW = """
files = CifarFiles(folder, "cifar10", 4, 6)
dataset = load_dataset(
    "cifar10", archive=files.binary, data_dir=folder / "d", datasets=files.datasets
)
assert (dataset.train.images == files.train_images).all()
assert "tensorflow_datasets" in sys.modules
assert not {"tensorflow", "cv2"} & set(sys.modules)
"""


def test_tensorflow_is_neither_needed_nor_imported(tmp_path):
    result = run(NO_TENSORFLOW, "yes", "tensorflow", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["Preparing cifar10 (only once)", "Reading cifar10"]


FALLS_BACK = """
import shutil

files = CifarFiles(folder, "cifar10", 4, 6)
(folder / "d").mkdir()
shutil.copy(files.python, folder / "d" / "cifar-10-python.tar.gz")
if (folder / "copy").exists():
    shutil.copytree(folder / "copy", folder / "d", dirs_exist_ok=True)
for _ in range(2):
    dataset = load_dataset("cifar10", data_dir=folder / "d", datasets=files.datasets)
    assert (dataset.train.images == files.train_images).all()
assert (folder / "d" / "arrays" / "cifar10").exists()
"""


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "array_record"])
@pytest.mark.parametrize("copied", [False, True])
def test_without_tfds_the_archive_is_read_itself(tmp_path, cifar, missing, copied):
    if copied:
        write_tfds(tmp_path / "copy", cifar(), DATASETS["cifar10"].class_names, version="1.0.0")
    result = run(FALLS_BACK, "no", missing, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    why = (
        "the packages tensorflow-datasets and array-record cannot both be imported "
        f"(No module named '{missing}')"
    )
    passed_over = [f"{tmp_path}/d/cifar10/1.0.0 is passed over: {why}"] if copied else []
    assert result.stderr.splitlines() == [
        *passed_over,
        f"cifar10 is read without a copy for TFDS: {why}",
    ]


STREAM = """
from resnet_jax.data import DatasetError, open_records

try:
    open_records(folder / "photos")
except DatasetError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "array_record"])
def test_a_stream_of_array_record_names_what_is_missing(tmp_path, missing):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photos-train.array_record-00000-of-00001").write_bytes(b"-")
    result = run(STREAM, "no", missing, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"(No module named '{missing}'); install them" in result.stdout


NOT_IMPORTED = """
from tiny_weights import write_images, write_weights
from tests.data.idx_files import some_images, write_pair
from experiments import cifar_resnet34, predict, validate
from resnet_jax.data import load_image_folder, open_records

files = CifarFiles(folder, "cifar10", 4, 6)
load_dataset("cifar10", data_dir=folder / "d", datasets=files.datasets)  # from the arrays
load_dataset("digits")
for number, prefix in enumerate(("train", "t10k")):
    write_pair(folder, prefix, *some_images(6, seed=number))
load_dataset("fashion_mnist", data_dir=folder)
photos = folder / "photos"
write_images(photos, {"n00000000": 20, "n00000001": 20})
load_image_folder(photos, side=8)
assert len(open_records(photos).train)
write_weights(folder / "weights")
options = ["--weights", str(folder / "weights"), "--no-compile-cache"]
assert validate.main([*options, "--data-dir", str(photos)]) == 0
assert predict.main([*options, str(photos / "n00000000")]) == 0
"""


STREAMED = """
import io, tarfile
import numpy as np, pyarrow, pyarrow.parquet
from pictures import encoded, write_folder
from tiny_runs import create_small_model
from experiments import cifar_resnet34
from resnet_jax.data import (
    ImageStream, ImageTransform, RandomResizedCrop, load_image_folder, open_records, read_ahead,
)

examples = [(encoded(number), number % 2) for number in range(24)]
for kind in ("tar", "parquet"):
    (folder / kind).mkdir()
with tarfile.open(folder / "tar" / "all.tar", "w") as tar:
    for number, (data, label) in enumerate(examples):
        for suffix, content in ((".cls", str(label).encode()), (".jpg", data)):
            member = tarfile.TarInfo(f"{number}{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
table = pyarrow.table({
    "image": [{"bytes": data, "path": None} for data, _ in examples],
    "label": [label for _, label in examples],
})
pyarrow.parquet.write_table(table, folder / "parquet" / "train.parquet")
write_folder(folder / "files")
center = ImageTransform(resize=12, crop=8)
for kind in ("tar", "parquet", "files"):
    records = open_records(folder / kind).train
    stream = ImageStream(records=records, center=center, random=RandomResizedCrop(size=8))
    with read_ahead(stream, np.arange(19), batch=7, crop=(3, 4)) as batches:
        found = list(batches)
    assert [len(images) for images in found] == [7, 7, 5]
    wanted = [stream.cropped(number, 3, 4) for number in range(19)]
    assert (np.concatenate(found) == np.stack(wanted)).all()
for _ in range(2):
    load_image_folder(folder / "files", side=8, keep_in=folder / "d")
options = ["--dataset", "folder", "--data-dir", str(folder / "tar"), "--run-dir"]
options += [str(folder / "run"), "--resize", "12", "--crop", "8", "--epochs", "1"]
options += ["--batch-size", "8", "--no-compile-cache"]
assert cifar_resnet34.main(options, create_model=create_small_model) == 0
"""


def test_streams_of_other_formats_need_no_tfds(tmp_path):
    """Nor Grain, which imports array_record: threads then read the same images in its place."""
    pytest.importorskip("pyarrow")
    result = run(STREAMED, "no", "tensorflow_datasets array_record", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("Grain cannot be imported (No module named 'array_record'): ") == 1


def test_tfds_is_imported_only_for_its_own_files(tmp_path, cifar):
    files = cifar(per_batch=4, test_size=6)
    load(files, tmp_path / "d", files.binary)
    result = run(NOT_IMPORTED, "yes", "tensorflow_datasets array_record", folder=tmp_path)
    assert result.returncode == 0, result.stderr
