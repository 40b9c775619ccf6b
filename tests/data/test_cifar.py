"""From archive to arrays and back again from the cache, and what happens without a network."""

import dataclasses
import multiprocessing
import resource
import shutil

import numpy as np
import pytest

from resnet_jax.data import DATASETS, DatasetError, load_dataset

from .cifar_files import CifarFiles, datasets_with, loader_with
from .file_server import NOBODY


def same(dataset, files):
    return (
        np.array_equal(dataset.train.images, files.train_images)
        and np.array_equal(dataset.train.labels, files.train_labels)
        and np.array_equal(dataset.test.images, files.test_images)
        and np.array_equal(dataset.test.labels, files.test_labels)
    )


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def load(files, folder, archive=None):
    return load_dataset(files.name, archive=archive, data_dir=folder, datasets=files.datasets)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_archives_give_the_same_data_set_in_source_order(cifar, tmp_path, server, name):
    files = cifar(name, per_batch=30, test_size=40)
    fingerprints = set()
    for form in ("binary", "python"):
        dataset = load(files, tmp_path / form, archive=getattr(files, form))
        assert same(dataset, files)
        fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1
    assert not server.requests


def test_second_start_reads_the_arrays_alone(cifar, tmp_path, server):
    files = cifar()
    first = load(files, tmp_path / "d", files.binary)
    files.binary.unlink()
    shutil.rmtree(tmp_path / "d" / "cifar10")
    second = load(files, tmp_path / "d")
    assert same(second, files)
    assert second.fingerprint == first.fingerprint
    assert not server.requests


def test_a_wrong_archive_is_an_error_even_if_the_arrays_are_there(cifar, tmp_path):
    files = cifar()
    load(files, tmp_path / "d", files.binary)
    files.binary.write_bytes(b"other")
    with pytest.raises(DatasetError, match="truncated, damaged or another file"):
        load(files, tmp_path / "d", files.binary)


def test_damaged_arrays_are_made_anew_with_a_warning(cifar, tmp_path, server):
    files = cifar()
    load(files, tmp_path / "d", files.binary)
    path = tmp_path / "d" / "arrays" / "cifar10" / "train_images.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="train_images.*made anew") as caught:
        assert same(load(files, tmp_path / "d"), files)
    assert caught[0].filename == __file__
    assert same(load(files, tmp_path / "d"), files)  # no warning again
    assert not server.requests


def test_damaged_arrays_are_named_where_nothing_else_is_there(cifar, tmp_path, server):
    files = cifar()
    load(files, tmp_path / "d", files.binary)
    (tmp_path / "d" / "arrays" / "cifar10" / "train_images.npy").write_bytes(b"-")
    shutil.rmtree(tmp_path / "d" / "cifar10")
    with pytest.raises(DatasetError, match=r"404 .*cached arrays .* are damaged.*--archive"):
        load(files, tmp_path / "d")


def test_an_archive_in_the_data_folder_is_found(cifar, tmp_path, server):
    files = cifar()
    (tmp_path / "d").mkdir()
    shutil.copy(files.python, tmp_path / "d" / "cifar-10-python.tar.gz")
    assert same(load(files, tmp_path / "d"), files)
    assert not server.requests


def test_without_network_the_error_names_three_ways_and_nothing_is_written(tmp_path):
    datasets = datasets_with("cifar10", loader_with("cifar10", server=NOBODY))
    with pytest.raises(DatasetError) as caught:
        load_dataset("cifar10", data_dir=tmp_path / "d", datasets=datasets)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("refused", NOBODY, "--archive", "--data-dir", "--dataset digits"):
        assert part in message
    assert tree(tmp_path) == []


def test_the_first_server_is_the_authors_and_there_is_a_second():
    for name in ("cifar10", "cifar100"):
        (file,) = DATASETS[name].load.downloads
        assert file.urls[0] == f"https://www.cs.toronto.edu/~kriz/{file.name}"
        assert len(file.urls) == 2
        assert all(url.endswith(f"/{file.name}") for url in file.urls)


def test_a_download_that_breaks_off_leaves_only_what_arrived(cifar, tmp_path, server):
    files = cifar("cifar100")
    server.files["/cifar-100-python.tar.gz"] = b"<html>try later</html>"
    server.types["/cifar-100-python.tar.gz"] = "text/html"
    with pytest.raises(DatasetError, match=r"sent a page .*--dataset digits$"):
        load(files, tmp_path / "d")
    assert tree(tmp_path / "d") == [".lock"]


def test_a_broken_download_is_finished_by_the_next_start(cifar, tmp_path, server):
    files = cifar()
    content = files.python.read_bytes()
    server.files["/cifar-10-python.tar.gz"] = content
    server.ranges = {"/cifar-10-python.tar.gz"}
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "cifar-10-python.tar.gz.part").write_bytes(content[:1000])
    assert same(load(files, tmp_path / "d"), files)
    assert server.asked[-1]["Range"] == "bytes=1000-"
    assert not list((tmp_path / "d").glob("*.part*"))


def test_the_second_server_serves_where_the_first_does_not(cifar, tmp_path, server):
    files = cifar()
    server.files["/mirror"] = files.python.read_bytes()
    (file,) = files.loader.downloads
    file = dataclasses.replace(file, urls=(NOBODY, f"{server.url}/mirror"))
    loader = dataclasses.replace(files.loader, downloads=(file,))
    dataset = load_dataset(
        "cifar10", data_dir=tmp_path / "d", datasets=datasets_with("cifar10", loader)
    )
    assert same(dataset, files)


def test_download_is_kept_and_used(cifar, tmp_path, server):
    files = cifar()
    server.files["/cifar-10-python.tar.gz"] = files.python.read_bytes()
    assert same(load(files, tmp_path / "d"), files)
    assert set(server.requests) == {"/cifar-10-python.tar.gz"}
    assert (tmp_path / "d" / "cifar-10-python.tar.gz").read_bytes() == files.python.read_bytes()
    server.requests.clear()
    shutil.rmtree(tmp_path / "d" / "arrays")
    shutil.rmtree(tmp_path / "d" / "cifar10")
    assert same(load(files, tmp_path / "d"), files)
    assert not server.requests


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
    with pytest.raises(DatasetError, match="cannot write to the data folder"):
        load(files, tmp_path / place, files.binary)


def test_a_reader_of_arrays_writes_nothing(cifar, tmp_path):
    """So that a folder on a read-only disk serves as well."""
    files = cifar()
    load(files, tmp_path / "d", files.binary)
    (tmp_path / "d" / ".lock").unlink()

    def state():
        everything = [tmp_path / "d", *(tmp_path / "d").rglob("*")]
        return {path: path.stat().st_mtime_ns for path in everything}

    before = state()
    assert same(load(files, tmp_path / "d"), files)
    assert state() == before


def load_with_a_limit(folder, archive, limit, answer):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    datasets = datasets_with("cifar10", loader_with("cifar10", binary=archive, sizes=(10, 3)))
    try:
        load_dataset("cifar10", archive=archive, data_dir=folder, datasets=datasets)
        answer.put("loaded")
    except DatasetError as error:
        answer.put(str(error))


# The files of the copy for TFDS have more than 100 KB; the arrays of the training have 30 KB.
@pytest.mark.parametrize(
    ("limit", "copied"),
    [(1_000, False), (80_000, False), (100, True), (1_000, True), (20_000, True)],
)
def test_a_full_disk_is_explained_and_leaves_nothing_half_written(tmp_path, limit, copied):
    files = CifarFiles(tmp_path, "cifar10", 2, 3)
    if copied:
        load(files, tmp_path / "d", files.binary)
        shutil.rmtree(tmp_path / "d" / "arrays")
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    arguments = (tmp_path / "d", files.binary, limit, answer)
    process = context.Process(target=load_with_a_limit, args=arguments)
    process.start()
    message = answer.get(timeout=120)
    process.join()
    assert "cannot write to the data folder" in message
    assert "File too large" in message
    assert "\n" not in message
    left = tree(tmp_path / "d")
    assert not [name for name in left if "partial" in name or "arrays" in name]
    assert ("cifar10/1.0.0" in left) == copied


def load_and_tell(folder, archive, start, answer):
    datasets = datasets_with("cifar10", loader_with("cifar10", binary=archive, sizes=(100, 20)))
    start.wait(120)
    dataset = load_dataset("cifar10", archive=archive, data_dir=folder, datasets=datasets)
    answer.put(dataset.fingerprint)


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
