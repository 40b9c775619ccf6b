"""Every form in which people have CIFAR gives the same data set, known by its contents."""

import dataclasses
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import DATASETS, DatasetError, load_dataset

from .cifar_files import datasets_with, loader_with, write_tar
from .tfds_files import write_tfds

ROOT = Path(__file__).parents[2]


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def members_of(form, files):
    """Files by name, in one of the forms."""
    names = DATASETS[files.name].class_names
    parts = {
        "train": (files.train_images, files.train_labels),
        "test": (files.test_images, files.test_labels),
    }
    if form == "python":
        return files.python_members()
    if form == "binary":
        return files.binary_members()
    if form == "images":
        return {
            f"cifar/{part}/{names[label]}/{number:05d}.png": png(image)
            for part, (images, labels) in parts.items()
            for number, (image, label) in enumerate(zip(images, labels, strict=True))
        } | {f"cifar/{part}/{name}/note.txt": b"-" for part in parts for name in names}
    assert form == "parquet"
    return {
        f"plain_text/{part}-0000{shard}-of-00002.parquet": parquet(
            files.name,
            images[shard::2] if shard is None else half(images, shard),
            half(labels, shard),
        )
        for part, (images, labels) in parts.items()
        for shard in (0, 1)
    }


def half(array, shard):
    middle = len(array) // 2
    return array[middle:] if shard else array[:middle]


def parquet(name, images, labels, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"bytes": png(image), "path": None} for image in images]
    label = "label" if name == "cifar10" else "fine_label"
    table = {"img": rows, label: labels.tolist(), **columns}
    if name == "cifar100":
        table["coarse_label"] = [0] * len(labels)
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    return file.getvalue()


def write_folder(folder, members):
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def load(files, folder, archive=None):
    return load_dataset(files.name, archive=archive, data_dir=folder, datasets=files.datasets)


def in_order(files, form):
    """The images and labels of the training in the order of a form."""
    if form != "images":
        return files.train_images, files.train_labels
    order = np.argsort(files.train_labels, kind="stable")
    return files.train_images[order], files.train_labels[order]


def same(dataset, files, form="python"):
    images, labels = in_order(files, form)
    return np.array_equal(dataset.train.images, images) and np.array_equal(
        dataset.train.labels, labels
    )


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("form", ["python", "binary", "parquet", "images"])
@pytest.mark.parametrize("container", ["folder", "zip", "tar", "data_dir"])
def test_every_form_in_every_container(cifar, tmp_path, server, name, form, container):
    files = cifar(name)
    members = members_of(form, files)
    archive, data_dir = None, tmp_path / "d"
    if container == "data_dir":
        write_folder(data_dir, members)
    elif container == "folder":
        archive = write_folder(tmp_path / "mine", members)
    elif container == "zip":
        archive = write_zip(tmp_path / "mine.bin", members)
    else:
        write_tar(tmp_path / "mine", {f"./mine/{key}": data for key, data in members.items()})
        archive = tmp_path / "mine"
    assert same(load(files, data_dir, archive), files, form)
    assert same(load(files, data_dir, archive), files, form)
    assert not server.requests


@pytest.mark.parametrize("form", ["python", "parquet", "images"])
def test_the_inner_folder_serves_as_well(cifar, tmp_path, form):
    files = cifar()
    mine = write_folder(tmp_path / "mine", members_of(form, files))
    (inner,) = mine.iterdir()
    assert same(load(files, tmp_path / "d", inner), files, form)


def test_a_parquet_file_stands_for_its_folder(cifar, tmp_path):
    files = cifar()
    mine = write_folder(tmp_path / "mine", members_of("parquet", files))
    file = mine / "plain_text" / "train-00000-of-00002.parquet"
    assert same(load(files, tmp_path / "d", file), files)


def test_parquet_in_folders_of_parts(cifar, tmp_path):
    files = cifar()
    train = parquet("cifar10", files.train_images, files.train_labels)
    test = parquet("cifar10", files.test_images, files.test_labels)
    members = {"x/train/0000.parquet": train, "x/test/0000.parquet": test}
    assert same(load(files, tmp_path / "d", write_folder(tmp_path / "mine", members)), files)


def test_published_batches_share_the_arrays_and_others_have_their_own(cifar, tmp_path):
    files = cifar()
    mine = {
        form: write_folder(tmp_path / form, members_of(form, files))
        for form in ("python", "parquet", "images")
    }
    load(files, tmp_path / "d", mine["images"])
    load(files, tmp_path / "d", mine["parquet"])
    arrays = tmp_path / "d" / "arrays"
    assert len(list(arrays.iterdir())) == 2
    assert not (arrays / "cifar10").exists()
    load(files, tmp_path / "d", mine["python"])
    shutil.rmtree(mine["python"])
    assert same(load(files, tmp_path / "d"), files)  # the published images, not the last ones


def test_a_start_without_the_folder_does_not_take_its_arrays(cifar, tmp_path, server):
    """So that copies of lower quality never pass for the data set."""
    files = cifar()
    load(files, tmp_path / "d", write_folder(tmp_path / "mine", members_of("images", files)))
    with pytest.raises(DatasetError, match=r"cannot download cifar10: .*404"):
        load(files, tmp_path / "d")


def test_a_changed_file_is_read_again_in_the_place_of_the_old(cifar, tmp_path):
    files = cifar()
    mine = write_folder(tmp_path / "mine", members_of("images", files))
    before = load(files, tmp_path / "d", mine)
    path = next((mine / "cifar" / "train").rglob("*.png"))
    path.write_bytes(png(np.zeros((32, 32, 3), np.uint8)))
    after = load(files, tmp_path / "d", mine)
    assert after.fingerprint != before.fingerprint
    assert len(list((tmp_path / "d" / "arrays").iterdir())) == 1


def test_images_without_a_checksum_are_named(cifar, tmp_path, caplog):
    files = cifar()
    with caplog.at_level(logging.WARNING):
        load(files, tmp_path / "d", write_folder(tmp_path / "a", members_of("images", files)))
    assert f"{tmp_path / 'a'} has no published checksum" in caplog.text
    caplog.clear()
    load(files, tmp_path / "e", write_folder(tmp_path / "b", members_of("python", files)))
    load(files, tmp_path / "f", files.binary)
    assert not caplog.text


# Refusals.


def refusal(files, tmp_path, archive):
    with pytest.raises(DatasetError) as caught:
        load(files, tmp_path / "d", archive)
    assert not (tmp_path / "d" / "arrays").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "content", [b"", b"x" * 2000, b"PK\x05\x06" + bytes(18), b"\x1f\x8b\x08\x00"]
)
def test_another_file_is_refused_with_what_would_work(cifar, tmp_path, content):
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(content)
    message = refusal(cifar(), tmp_path, path)
    assert str(path) in message
    assert "truncated, damaged or another file" in message
    assert "cifar-10-python.tar.gz" in message


def test_a_truncated_archive_is_refused(cifar, tmp_path):
    files = cifar()
    path = tmp_path / "cut.tar.gz"
    for archive in (files.python, files.binary):
        path.write_bytes(archive.read_bytes()[:-50])
        assert "truncated, damaged or another file" in refusal(files, tmp_path, path)


def test_the_archive_of_another_data_set_is_named(cifar, tmp_path):
    files, other = cifar("cifar100"), cifar("cifar10")
    forms = dataclasses.replace(other.loader.forms, others=files.loader.forms.archives)
    datasets = datasets_with("cifar10", dataclasses.replace(other.loader, forms=forms))
    message = r"is cifar-100-python\.tar\.gz, of another data set; name cifar-10-python\.tar\.gz or"
    with pytest.raises(DatasetError, match=message):
        load_dataset("cifar10", archive=files.python, data_dir=tmp_path / "d", datasets=datasets)


def test_the_data_sets_know_each_others_archives():
    ten, hundred = DATASETS["cifar10"].load.forms, DATASETS["cifar100"].load.forms
    assert (ten.others, hundred.others) == (hundred.archives, ten.archives)


def test_an_empty_folder_is_refused_with_all_forms(cifar, tmp_path):
    (tmp_path / "mine").mkdir()
    message = refusal(cifar(), tmp_path, tmp_path / "mine")
    for part in ("data_batch_1 … test_batch", "parquet", "array_record", "train/airplane/"):
        assert part in message


def test_a_missing_path_is_refused(cifar, tmp_path):
    assert "No such file" in refusal(cifar(), tmp_path, tmp_path / "none")


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000])
def test_an_impossible_path_is_one_line(tmp_path, name):
    for option in ("archive", "data_dir"):
        with pytest.raises(DatasetError) as caught:
            load_dataset(
                "cifar10",
                **{"data_dir": tmp_path / "d", option: tmp_path / name},
                datasets=datasets_with("cifar10", loader_with("cifar10")),
            )
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_beside_the_files_is_passed_over(cifar, tmp_path, caplog):
    files = cifar()
    mine = write_folder(tmp_path / "mine", members_of("python", files))
    (mine / "a-locked").mkdir(mode=0)
    assert same(load(files, tmp_path / "d", mine), files)


@pytest.mark.parametrize("beside", ["__MACOSX/._x", ".DS_Store", "readme.txt", "other/readme.txt"])
def test_what_lies_beside_the_files_does_not_matter(cifar, tmp_path, beside):
    files = cifar()
    members = members_of("images", files) | {beside: b"-"}
    assert same(
        load(files, tmp_path / "d", write_zip(tmp_path / "a.zip", members)), files, "images"
    )


def test_a_zip_with_a_password_is_refused(cifar, tmp_path):
    path = write_zip(tmp_path / "mine.zip", members_of("python", cifar()))
    data = bytearray(path.read_bytes())
    # The flag of encryption, in each header and in the directory.
    for head, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(head)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(head, at + 4)
    path.write_bytes(data)
    assert "password required" in refusal(cifar(seed=1), tmp_path, path)


def test_a_damaged_extracted_batch_is_refused(cifar, tmp_path):
    files = cifar()
    members = members_of("python", files)
    name = "cifar-10-batches-py/data_batch_3"
    members[name] = members[name][:-1] + b"x"
    message = refusal(files, tmp_path, write_folder(tmp_path / "mine", members))
    assert "not the published md5:" in message


def test_a_missing_extracted_batch_is_named(cifar, tmp_path):
    files = cifar()
    members = members_of("python", files)
    del members["cifar-10-batches-py/data_batch_3"]
    message = refusal(files, tmp_path, write_folder(tmp_path / "mine", members))
    assert message.endswith("lacks cifar-10-batches-py/data_batch_3")


@pytest.mark.parametrize("form", ["binary", "parquet", "images"])
def test_another_number_of_images_is_refused(cifar, tmp_path, form):
    few, files = cifar(per_batch=6, seed=1), cifar()
    mine = write_folder(tmp_path / "mine", members_of(form, few))
    message = refusal(files, tmp_path, mine)
    assert "holds 30 training and 9 test images; the data set has 35 and 9" in message


def test_missing_and_unknown_class_folders_are_named(cifar, tmp_path):
    files = cifar()
    mine = write_folder(tmp_path / "mine", members_of("images", files))
    (mine / "cifar" / "train" / "cat").rename(mine / "cifar" / "train" / "kitten")
    message = refusal(files, tmp_path, mine)
    assert f"{mine / 'cifar' / 'train'} lacks the class folders cat" in message
    shutil.copytree(mine / "cifar" / "train" / "kitten", mine / "cifar" / "train" / "cat")
    assert "has folders that are no classes kitten" in refusal(files, tmp_path, mine)


def test_an_image_of_another_size_is_named(cifar, tmp_path):
    files = cifar()
    members = members_of("images", files)
    name = next(key for key in members if key.endswith(".png"))
    members[name] = png(np.zeros((16, 33, 3), np.uint8))
    message = refusal(files, tmp_path, write_folder(tmp_path / "mine", members))
    assert f"{name} has 33×16 pixels, not 32×32" in message.replace(str(tmp_path), "")


def test_a_damaged_image_is_named(cifar, tmp_path):
    files = cifar()
    members = members_of("images", files)
    name = next(key for key in members if key.endswith(".png"))
    members[name] = members[name][:-30]
    message = refusal(files, tmp_path, write_folder(tmp_path / "mine", members))
    assert "1 images cannot be used" in message
    assert Path(name).name in message


def test_one_part_of_the_parquet_files_is_too_little(cifar, tmp_path):
    files = cifar()
    members = members_of("parquet", files)
    only = {name: data for name, data in members.items() if "train" in name}
    mine = write_folder(tmp_path / "mine", only)
    assert "has no test-….parquet beside it" in refusal(files, tmp_path, mine)
    file = next((mine / "plain_text").iterdir())
    assert "has no test-….parquet beside it" in refusal(files, tmp_path, file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: parquet("cifar100", files.train_images, files.train_labels), "lacks label"),
        (
            lambda files: parquet("cifar10", files.train_images, files.train_labels + 5),
            "labels out",
        ),
        (lambda files: parquet("cifar10", files.train_images, files.train_labels)[:-9], "cannot"),
        (lambda files: b"PAR1", "cannot be read"),
    ],
)
def test_bad_parquet_is_explained(cifar, tmp_path, change, reason):
    files = cifar()
    test = parquet("cifar10", files.test_images, files.test_labels)
    members = {"train-0.parquet": change(files), "test-0.parquet": test}
    message = refusal(files, tmp_path, write_folder(tmp_path / "mine", members))
    assert reason in message
    assert "train-0.parquet" in message


# TFDS's folders.


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder that TFDS prepared, and what is in it."""
    from .cifar_files import CifarFiles

    folder = tmp_path_factory.mktemp("tfds")
    (folder / "source").mkdir()
    files = CifarFiles(folder / "source", "cifar10", 30, 40)
    write_tfds(folder / "data", files, DATASETS["cifar10"].class_names)
    return files, folder / "data"


@pytest.mark.parametrize("place", ["", "cifar10", "cifar10/3.0.2"])
def test_a_folder_that_tfds_prepared(prepared, tmp_path, place):
    files, folder = prepared
    assert same(load(files, tmp_path / "d", folder / place), files)


def test_tfds_in_the_data_folder_is_found_beside_other_formats(prepared, tmp_path):
    files, folder = prepared
    shutil.copytree(folder, tmp_path / "d")
    (tmp_path / "d" / "cifar10" / "1.0.2").mkdir()
    info = tmp_path / "d" / "cifar10" / "1.0.2" / "dataset_info.json"
    info.write_text(json.dumps({"name": "cifar10", "fileFormat": "tfrecord"}))
    (tmp_path / "d" / "cifar10" / "2").mkdir()
    (tmp_path / "d" / "cifar10" / "2" / "dataset_info.json").write_text("[")
    assert same(load(files, tmp_path / "d"), files)


def test_the_files_of_tfds_are_shuffled(prepared):
    """So that putting them in order is really needed."""
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(prepared[1] / "cifar10/3.0.2").as_data_source("train")
    ids = [bytes(record["id"]).decode() for record in source]
    assert sorted(ids) == [f"train_{i:05d}" for i in range(150)]
    assert ids != sorted(ids)


def test_a_damaged_folder_of_tfds_is_explained(prepared, tmp_path):
    files, folder = prepared
    shutil.copytree(folder, tmp_path / "copy")
    record = next((tmp_path / "copy").rglob("*test.array_record*"))
    data = bytearray(record.read_bytes())
    data[len(data) // 2] ^= 0xFF
    record.write_bytes(data)
    message = refusal(files, tmp_path, tmp_path / "copy")
    assert "TFDS's copy of cifar10" in message
    assert "is damaged" in message
    assert record.exists()  # it is the user's to remove


def test_tfrecord_files_have_a_way_on(cifar, tmp_path, server):
    files = cifar()
    folder = tmp_path / "mine" / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    info = folder / "dataset_info.json"
    info.write_text(json.dumps({"name": "cifar10", "fileFormat": "tfrecord"}))
    message = refusal(files, tmp_path, tmp_path / "mine")
    convert = f"tfds convert_format --dataset_version_dir={folder} --out_file_format=array_record"
    assert convert in message
    with pytest.raises(DatasetError, match=r"404 .*tfds convert_format.*--archive"):
        load(files, tmp_path / "mine")


def test_tfrecord_files_that_were_converted_in_their_place_are_read(prepared, tmp_path):
    files, folder = prepared
    shutil.copytree(folder / "cifar10" / "3.0.2", tmp_path / "mine")
    (tmp_path / "mine" / "cifar10-train.tfrecord-00000-of-00001").write_bytes(b"-")
    path = tmp_path / "mine" / "dataset_info.json"
    info = json.loads(path.read_text())
    info |= {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    path.write_text(json.dumps(info))
    assert same(load(files, tmp_path / "d", tmp_path / "mine"), files)


def test_another_data_set_of_tfds_is_not_taken(cifar, prepared, tmp_path):
    assert "holds nothing" in refusal(cifar("cifar100"), tmp_path, prepared[1] / "cifar10")


BLOCKED = '''
import sys
from pathlib import Path

folder, refused, package, blocked, *forms = sys.argv[1:]


class Refuse:
    """Makes packages look as if they were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked.split():
            raise ModuleNotFoundError("No module named " + repr(name))


sys.meta_path.insert(0, Refuse())
from resnet_jax.data import DatasetError, load_dataset
from tests.data.cifar_files import CifarFiles
from tests.data.test_forms import members_of, same, write_folder, write_zip

folder = Path(folder)
files = CifarFiles(folder, "cifar10", 4, 6)


def load(number, archive):
    return load_dataset(
        "cifar10", archive=archive, data_dir=folder / str(number), datasets=files.datasets
    )


assert same(load(0, files.binary), files)
assert same(load(1, files.python), files)
for form in forms:
    members = members_of(form, files)
    assert same(load(form, write_folder(folder / "mine" / form, members)), files, form)
    assert same(load(form + "-zip", write_zip(folder / f"{form}.zip", members)), files, form)
assert load_dataset("digits").name == "digits"
try:
    load(9, Path(refused))
except DatasetError as error:
    assert package in str(error), error
else:
    raise AssertionError(refused)
'''


@pytest.mark.parametrize(
    ("form", "missing"),
    [("tfds", "tensorflow_datasets"), ("tfds", "array_record"), ("parquet", "pyarrow")],
)
def test_packages_are_needed_for_their_own_files_alone(cifar, prepared, tmp_path, form, missing):
    forms = ["python", "binary", "images"]
    if form == "tfds":
        refused, package = prepared[1], "tensorflow-datasets and array-record"
        blocked = missing
        forms.append("parquet")
    else:
        refused = write_folder(tmp_path / "parquet", members_of("parquet", cifar()))
        package = blocked = missing
    (tmp_path / "work").mkdir()
    result = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", BLOCKED),
            *(str(tmp_path / "work"), str(refused), package, blocked, *forms),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    notes = [line for line in result.stderr.splitlines() if "without a copy for TFDS" in line]
    assert len(notes) == (4 if form == "tfds" else 0)  # archives and pickled batches
    assert all(line.startswith("cifar10 is read") and missing in line for line in notes)


NO_TENSORFLOW = '''
import importlib.machinery
import sys
from pathlib import Path


class Refuse:
    """Finds TensorFlow, so that it looks installed, and fails if it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise RuntimeError("imported " + spec.name)

    def exec_module(self, module):
        raise AssertionError


sys.meta_path.insert(0, Refuse())
from resnet_jax.data.sources.trees import FolderTree
from resnet_jax.data.sources.tfds import Tfds

tree = FolderTree(Path(sys.argv[1]))
layout = Tfds("cifar10")
parts = layout.read(tree, layout.find(tree), tuple("0123456789"))
assert len(parts.train) == 150
assert "tensorflow_datasets" in sys.modules
assert not {"tensorflow", "cv2"} & set(sys.modules)
'''


def test_tfds_is_read_without_tensorflow(prepared):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_TENSORFLOW, str(prepared[1])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["Reading cifar10"]


def test_names_that_leave_the_folder_are_not_followed(cifar, tmp_path):
    files = cifar()
    members = {"../../evil": b"x", "/tmp/evil": b"x", **members_of("python", files)}
    mine = write_zip(tmp_path / "mine.zip", members)
    before = sorted(path for path in tmp_path.rglob("*") if "/d" not in str(path))
    assert same(load(files, tmp_path / "d", mine), files)
    after = sorted(path for path in tmp_path.rglob("*") if "/d" not in str(path))
    assert after == before


def test_links_in_a_tar_are_not_followed(cifar, tmp_path):
    files = cifar()
    path = tmp_path / "mine.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in members_of("python", files).items():
            info = tarfile.TarInfo(name)
            if name.endswith("test_batch"):
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    assert "lacks cifar-10-batches-py/test_batch" in refusal(files, tmp_path, path)


def test_the_rows_of_the_registry_are_whole():
    for name in ("cifar10", "cifar100"):
        load = DATASETS[name].load
        assert load.sizes == (50_000, 10_000)
        assert load.downloads[0] in load.forms.archives
    assert loader_with("cifar10").sizes == (50_000, 10_000)
