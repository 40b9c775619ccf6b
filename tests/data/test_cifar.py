"""From archive to arrays and back again from the cache, and what happens without a network."""

import json
import multiprocessing
import resource
import shutil

import numpy as np
import pytest

from resnet_jax.data import DatasetError, load_dataset
from resnet_jax.data.download import DownloadError
from resnet_jax.data.sources import cifar as cifar_module

from .cifar_files import CifarFiles, admit


def same(dataset, files):
    return (
        np.array_equal(dataset.train.images, files.train_images)
        and np.array_equal(dataset.train.labels, files.train_labels)
        and np.array_equal(dataset.test.images, files.test_images)
        and np.array_equal(dataset.test.labels, files.test_labels)
    )


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_archives_give_the_same_data_set_in_source_order(cifar, tmp_path, no_network, name):
    files = cifar(name, per_batch=30, test_size=40)
    fingerprints = set()
    for form in ("binary", "python"):
        dataset = load_dataset(name, archive=getattr(files, form), data_dir=tmp_path / form)
        assert same(dataset, files)
        fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1
    assert not no_network


def test_second_start_reads_the_arrays_alone(cifar, tmp_path, no_network):
    files = cifar()
    first = load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")
    files.binary.unlink()
    shutil.rmtree(tmp_path / "d" / "cifar10")
    second = load_dataset("cifar10", data_dir=tmp_path / "d")
    assert same(second, files)
    assert second.fingerprint == first.fingerprint
    assert not no_network


def test_a_wrong_archive_is_an_error_even_if_the_arrays_are_there(cifar, tmp_path):
    files = cifar()
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")
    files.binary.write_bytes(b"other")
    with pytest.raises(DatasetError, match="truncated, damaged or another file"):
        load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")


def test_damaged_arrays_are_made_anew_with_a_warning(cifar, tmp_path, no_network):
    files = cifar()
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")
    path = tmp_path / "d" / "arrays" / "cifar10" / "train_images.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="train_images.*made anew") as caught:
        assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)
    assert caught[0].filename == __file__
    assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)  # no warning again
    assert not no_network


def test_a_damaged_prepared_copy_is_explained(cifar, tmp_path):
    files = cifar()
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / "arrays")
    record = next((tmp_path / "d").rglob("*test.array_record*"))
    data = bytearray(record.read_bytes())
    data[len(data) // 2] ^= 0xFF
    record.write_bytes(data)
    with pytest.raises(DatasetError, match=r"prepared copy of cifar10 .* is damaged: .* Remove"):
        load_dataset("cifar10", data_dir=tmp_path / "d")
    assert tree(tmp_path / "d" / "cifar10")  # it is the user's to remove
    assert not (tmp_path / "d" / "arrays").exists()


def test_an_archive_in_the_data_folder_is_found(cifar, tmp_path, no_network):
    files = cifar()
    (tmp_path / "d").mkdir()
    shutil.copy(files.python, tmp_path / "d" / "cifar-10-python.tar.gz")
    assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)
    assert not no_network


def test_a_folder_that_tfds_prepared_is_used(cifar, tmp_path, no_network):
    files = cifar()
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")
    (tmp_path / "d" / "cifar10" / "1.0.0").rename(tmp_path / "d" / "cifar10" / "3.0.2")
    shutil.rmtree(tmp_path / "d" / "arrays")
    # A copy in another format beside it is passed over, and so is a stray file.
    (tmp_path / "d" / "cifar10" / "1.0.2").mkdir()
    info = tmp_path / "d" / "cifar10" / "1.0.2" / "dataset_info.json"
    info.write_text(json.dumps({"fileFormat": "tfrecord"}))
    (tmp_path / "d" / "cifar10" / "2").mkdir()
    (tmp_path / "d" / "cifar10" / "2" / "dataset_info.json").write_text("[")
    assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)
    assert not no_network


def test_without_network_the_error_names_three_ways_and_nothing_is_written(tmp_path, no_network):
    with pytest.raises(DatasetError) as caught:
        load_dataset("cifar10", data_dir=tmp_path / "d")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("no network in tests", cifar_module.SERVER, "--archive", "--data-dir", "digits"):
        assert part in message
    assert no_network
    assert tree(tmp_path) == []


def test_download_that_breaks_off_leaves_nothing_half_written(tmp_path, monkeypatch):
    class Response:
        def close(self):
            pass

    def fail(url, target, *, md5):
        target.write_bytes(b"half")
        raise DownloadError("the line went dead")

    monkeypatch.setattr(cifar_module, "open_url", lambda url: Response())
    monkeypatch.setattr(cifar_module, "download", fail)
    with pytest.raises(DatasetError, match=r"the line went dead.*--dataset digits"):
        load_dataset("cifar100", data_dir=tmp_path / "d")
    assert tree(tmp_path / "d") == [".lock"]


def test_download_is_kept_and_used(cifar, tmp_path, monkeypatch):
    class Response:
        def close(self):
            pass

    files = cifar()
    urls = []

    def copy(url, target, *, md5):
        urls.append(url)
        shutil.copy(files.binary, target)

    monkeypatch.setattr(cifar_module, "open_url", lambda url: Response())
    monkeypatch.setattr(cifar_module, "download", copy)
    assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)
    assert urls == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    assert (tmp_path / "d" / "cifar-10-binary.tar.gz").exists()


def test_a_wrong_archive_writes_nothing(tmp_path):
    path = tmp_path / "wrong.tar.gz"
    path.write_bytes(b"wrong")
    with pytest.raises(DatasetError):
        load_dataset("cifar10", archive=path, data_dir=tmp_path / "d")
    assert tree(tmp_path) == ["wrong.tar.gz"]


@pytest.mark.parametrize("place", ["file", "file/inner"])
def test_a_data_folder_that_cannot_be_written_is_explained(cifar, tmp_path, place):
    files = cifar()
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="Cannot write to the data folder"):
        load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / place)


def test_an_unwritable_folder_with_arrays_can_be_read(cifar, tmp_path, monkeypatch):
    files = cifar()
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d")

    def refuse(*_, **__):
        raise AssertionError("a reader wrote")

    monkeypatch.setattr(cifar_module, "writing", refuse)
    assert same(load_dataset("cifar10", data_dir=tmp_path / "d"), files)


def load_with_a_limit(folder, archive, limit, answer):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.MonkeyPatch.context() as patch:
        admit(patch, "cifar10", archive, 0)
        try:
            load_dataset("cifar10", archive=archive, data_dir=folder)
            answer.put("loaded")
        except DatasetError as error:
            answer.put(str(error))


# The archive has 150 KB; the limits stop the prepared copy, and then the arrays.
@pytest.mark.parametrize("limit", [1_000, 40_000])
def test_a_full_disk_is_explained_and_leaves_nothing_half_written(tmp_path, limit):
    files = CifarFiles(tmp_path, "cifar10", 2, 3)
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    arguments = (tmp_path / "d", files.binary, limit, answer)
    process = context.Process(target=load_with_a_limit, args=arguments)
    process.start()
    message = answer.get(timeout=120)
    process.join()
    assert "Cannot write to the data folder" in message
    assert "File too large" in message
    assert "\n" not in message
    left = tree(tmp_path / "d")
    assert not [name for name in left if "partial" in name or "arrays" in name]


def load_and_tell(folder, archive, start, answer):
    with pytest.MonkeyPatch.context() as patch:
        admit(patch, "cifar10", archive, 0)
        start.wait(120)
        answer.put(load_dataset("cifar10", archive=archive, data_dir=folder).fingerprint)


def test_processes_that_start_together_agree(tmp_path):
    files = CifarFiles(tmp_path, "cifar10", 20, 20)
    context = multiprocessing.get_context("spawn")
    start, answer = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "d", files.binary, start, answer)
    processes = [context.Process(target=load_and_tell, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    fingerprints = {answer.get(timeout=240) for _ in processes}
    for process in processes:
        process.join()
    assert len(fingerprints) == 1
    assert all(process.exitcode == 0 for process in processes)
    assert not list((tmp_path / "d").glob(".partial*"))
