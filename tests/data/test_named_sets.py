"""The other data sets by name, from small copies in their own formats."""

import dataclasses
import hashlib
import io
import shutil
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from resnet_jax.data import DATASETS, DatasetError, load_dataset
from resnet_jax.data.image_transform import ImageTransform
from resnet_jax.data.sources.svhn import SVHN_FILES, SvhnMatlab

from .cifar_files import write_tar
from .test_forms import png, write_folder, write_zip


def sha(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def pixels(seed, n, height, width):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def replaced(name, sizes, *, layout=None, archive=None, urls=()):
    """The registry, with a row that knows the files of a test in the place of the published ones.

    Args:
        archive: an archive in the place of the first published one.
    """
    load = DATASETS[name].load
    forms = load.forms
    if layout is not None:
        forms = dataclasses.replace(forms, layouts=(layout,))
    downloads = load.downloads
    if archive is not None:
        algorithm = forms.archives[0].algorithm
        digest = hashlib.new(algorithm, archive.read_bytes()).hexdigest()
        file = dataclasses.replace(
            forms.archives[0], digest=f"{algorithm}:{digest}", size=None, urls=urls
        )
        forms = dataclasses.replace(forms, archives=(file, *forms.archives[1:]))
        downloads = (file,)
    load = dataclasses.replace(load, sizes=sizes, forms=forms, downloads=downloads)
    return {name: dataclasses.replace(DATASETS[name], load=load)}


def equal(arrays, images, labels):
    return np.array_equal(arrays.images, images) and arrays.labels.tolist() == list(labels)


def test_the_rows_are_whole():
    sizes = {
        name: DATASETS[name].load.sizes for name in ("svhn", "stl10", "tiny_imagenet", "imagenette")
    }
    assert sizes == {
        "svhn": (73_257, 26_032),
        "stl10": (5_000, 8_000),
        "tiny_imagenet": (100_000, 10_000),
        "imagenette": (9_469, 3_925),
    }
    for name in sizes:
        for file in DATASETS[name].load.downloads:
            assert file.size > 1e7
            assert all(url.endswith(f"/{file.name}") for url in file.urls)
            assert len(file.digest.partition(":")[2]) in (32, 64)


# STL-10.


@pytest.fixture
def stl10(tmp_path):
    """The files of three training and two test images, the images, and the registry."""
    train, test = pixels(1, 3, 96, 96), pixels(2, 2, 96, 96)
    members = {
        # A column after the other, as MATLAB has them.
        "train_X.bin": train.transpose(0, 3, 2, 1).tobytes(),
        "train_y.bin": bytes([1, 10, 5]),
        "test_X.bin": test.transpose(0, 3, 2, 1).tobytes(),
        "test_y.bin": bytes([2, 2]),
    }
    (layout,) = DATASETS["stl10"].load.forms.layouts
    layout = dataclasses.replace(layout, digests=tuple(map(sha, members.values())))
    members = {f"stl10_binary/{name}": data for name, data in members.items()}
    members["stl10_binary/unlabeled_X.bin"] = b"not read"
    return members, train, test, replaced("stl10", (3, 2), layout=layout)


@pytest.mark.parametrize("container", ["folder", "tar", "data_dir"])
def test_stl10(stl10, tmp_path, container):
    members, train, test, datasets = stl10
    archive = None
    if container == "data_dir":
        write_folder(tmp_path / "d", members)
    elif container == "folder":
        archive = write_folder(tmp_path / "mine", members)
    else:
        archive = tmp_path / "mine.tar.gz"
        write_tar(archive, members)
    dataset = load_dataset("stl10", archive=archive, data_dir=tmp_path / "d", datasets=datasets)
    assert equal(dataset.train, train, [0, 9, 4])
    assert equal(dataset.test, test, [1, 1])


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("train_y.bin", bytes([1, 11, 5]), "labels outside 1 to 10"),
        ("train_y.bin", bytes([0, 1, 5]), "labels outside 1 to 10"),
        ("train_y.bin", bytes([1, 1]), "2 labels need 55296"),
        ("test_X.bin", bytes(100), "100 bytes; 2 labels need 55296"),
    ],
)
def test_bad_stl10_is_explained(stl10, tmp_path, name, data, reason):
    members, *_ = stl10
    members[f"stl10_binary/{name}"] = data
    digests = tuple(sha(value) for key, value in members.items() if "unlabeled" not in key)
    (layout,) = DATASETS["stl10"].load.forms.layouts
    datasets = replaced("stl10", (3, 2), layout=dataclasses.replace(layout, digests=digests))
    mine = write_folder(tmp_path / "mine", members)
    with pytest.raises(DatasetError, match=reason):
        load_dataset("stl10", archive=mine, data_dir=tmp_path / "d", datasets=datasets)


def test_another_file_of_stl10_is_refused(stl10, tmp_path):
    members, *_, datasets = stl10
    members["stl10_binary/test_y.bin"] = bytes([3, 3])
    mine = write_folder(tmp_path / "mine", members)
    with pytest.raises(DatasetError, match=r"test_y\.bin .* not the published sha256:"):
        load_dataset("stl10", archive=mine, data_dir=tmp_path / "d", datasets=datasets)


def test_a_missing_file_of_stl10_is_named(stl10, tmp_path):
    members, *_, datasets = stl10
    del members["stl10_binary/test_y.bin"]
    mine = write_folder(tmp_path / "mine", members)
    with pytest.raises(DatasetError, match=r"lacks stl10_binary/test_y\.bin"):
        load_dataset("stl10", archive=mine, data_dir=tmp_path / "d", datasets=datasets)


# SVHN.


def matlab(images, digits):
    file = io.BytesIO()
    content = {"X": images.transpose(1, 2, 3, 0), "y": np.array(digits, np.uint8)[:, None]}
    scipy.io.savemat(file, content, do_compression=True)
    return file.getvalue()


def svhn_with(members, server=None):
    files = tuple(
        dataclasses.replace(
            file,
            digest=sha(members[file.name]),
            size=None,
            urls=(f"{server.url}/{file.name}",) if server else (),
        )
        for file in SVHN_FILES
    )
    datasets = replaced("svhn", (4, 3), layout=SvhnMatlab(files))
    row = datasets["svhn"]
    return {"svhn": dataclasses.replace(row, load=dataclasses.replace(row.load, downloads=files))}


@pytest.fixture
def svhn():
    train, test = pixels(3, 4, 32, 32), pixels(4, 3, 32, 32)
    members = {
        "train_32x32.mat": matlab(train, [1, 10, 9, 10]),
        "test_32x32.mat": matlab(test, [5, 2, 10]),
    }
    return members, train, test


@pytest.mark.parametrize("place", ["archive", "data_dir", "download"])
def test_svhn(svhn, tmp_path, server, place):
    members, train, test = svhn
    archive = None
    if place == "archive":
        archive = write_zip(tmp_path / "svhn.zip", members)
    elif place == "data_dir":
        write_folder(tmp_path / "d" / "SVHN", members)
    else:
        server.files = {f"/{name}": data for name, data in members.items()}
    datasets = svhn_with(members, server)
    for _ in range(2):
        dataset = load_dataset("svhn", archive=archive, data_dir=tmp_path / "d", datasets=datasets)
        assert equal(dataset.train, train, [1, 0, 9, 0])
        assert equal(dataset.test, test, [5, 2, 0])
    assert bool(server.requests) == (place == "download")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"MATLAB 5.0", r"cannot read test_32x32\.mat"),
        (matlab(pixels(0, 3, 32, 32), [1, 2, 11]), "labels outside 1 to 10"),
        (matlab(pixels(0, 3, 32, 32), [1, 2]), r"uint8 \(32, 32, 3, 3\); expected"),
        (matlab(pixels(0, 3, 16, 32), [1, 2, 3]), r"\(16, 32, 3, 3\); expected"),
    ],
)
def test_bad_svhn_is_explained(svhn, tmp_path, data, reason):
    members = svhn[0] | {"test_32x32.mat": data}
    mine = write_folder(tmp_path / "mine", members)
    with pytest.raises(DatasetError, match=reason):
        load_dataset("svhn", archive=mine, data_dir=tmp_path / "d", datasets=svhn_with(members))


def test_half_of_svhn_is_too_little(svhn, tmp_path):
    mine = write_folder(tmp_path / "mine", {"train_32x32.mat": svhn[0]["train_32x32.mat"]})
    with pytest.raises(DatasetError, match=r"lacks test_32x32\.mat"):
        load_dataset("svhn", archive=mine, data_dir=tmp_path / "d", datasets=svhn_with(svhn[0]))


# Imagenette.


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def imagenette():
    """The files of images of many sizes, two of each class to train on and one to test."""
    (layout,) = DATASETS["imagenette"].load.forms.layouts
    members, sizes = {}, [(160, 213), (200, 160), (160, 160), (90, 120), (400, 333)]
    for part, count in (("train", 2), ("val", 1)):
        for label, wnid in enumerate(layout.classes):
            for number in range(count):
                height, width = sizes[(label + number) % len(sizes)]
                name = f"imagenette2-160/{part}/{wnid}/{wnid}_{number}.JPEG"
                members[name] = jpeg(pixels(label * 10 + number, 1, height, width)[0])
    members["imagenette2-160/noisy_imagenette.csv"] = b"path"
    members["imagenette2-160/.DS_Store"] = b"-"
    return members


def expected_square(data, side=160):
    return ImageTransform(resize=side, crop=side).pixels(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("container", ["folder", "tar", "data_dir"])
def test_imagenette(imagenette, tmp_path, container):
    members = imagenette
    archive, tgz = None, tmp_path / "x.tgz"
    # The members of an archive are in no order.
    write_tar(tgz, dict(reversed(members.items())))
    datasets = replaced("imagenette", (20, 10), archive=tgz)
    if container == "data_dir":
        (tmp_path / "d").mkdir()
        shutil.copy(tgz, tmp_path / "d" / "imagenette2-160.tgz")
    else:
        archive = tgz if container == "tar" else write_folder(tmp_path / "mine", members)
    dataset = load_dataset(
        "imagenette", archive=archive, data_dir=tmp_path / "d", datasets=datasets
    )
    train = [data for name, data in members.items() if "/train/" in name]
    assert equal(dataset.train, [expected_square(data) for data in train], np.repeat(range(10), 2))
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.class_names[:2] == ("tench", "English springer")
    arrays = [path.name for path in (tmp_path / "d" / "arrays").iterdir()]
    assert (arrays == ["imagenette"]) == (container != "folder")  # whether it was verified


def test_imagenette_is_downloaded(imagenette, tmp_path, server):
    tgz = tmp_path / "x.tgz"
    write_tar(tgz, imagenette)
    server.files["/imagenette2-160.tgz"] = tgz.read_bytes()
    urls = (f"{server.url}/imagenette2-160.tgz",)
    datasets = replaced("imagenette", (20, 10), archive=tgz, urls=urls)
    assert len(load_dataset("imagenette", data_dir=tmp_path / "d", datasets=datasets).train) == 20


# Tiny ImageNet.


@pytest.fixture
def tiny():
    """The files of one training image of each class, and of three test images."""
    (layout,) = DATASETS["tiny_imagenet"].load.forms.layouts
    root = "tiny-imagenet-200"
    members = {
        f"{root}/train/{wnid}/images/{wnid}_0.JPEG": jpeg(pixels(label, 1, 64, 64)[0])
        for label, wnid in enumerate(layout.classes)
    }
    members |= {f"{root}/train/{wnid}/{wnid}_boxes.txt": b"-" for wnid in layout.classes}
    members |= {
        f"{root}/val/images/val_{number}.JPEG": jpeg(pixels(number, 1, 64, 64)[0])
        for number in range(3)
    }
    members[f"{root}/val/val_annotations.txt"] = "".join(
        f"val_{number}.JPEG\t{layout.classes[label]}\t0\t32\t44\t62\n"
        for number, label in ((2, 7), (0, 199), (1, 7))
    ).encode()
    members[f"{root}/test/images/test_0.JPEG"] = b"not read"
    return members


@pytest.mark.parametrize("container", ["folder", "zip"])
def test_tiny_imagenet(tiny, tmp_path, container):
    path = write_zip(tmp_path / "mine.zip", tiny)
    datasets = replaced("tiny_imagenet", (200, 3), archive=path)
    if container == "folder":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "mine")
        path = tmp_path / "mine"
    dataset = load_dataset(
        "tiny_imagenet", archive=path, data_dir=tmp_path / "d", datasets=datasets
    )
    train = [data for name, data in tiny.items() if "/train/" in name and "JPEG" in name]
    assert equal(dataset.train, [expected_square(data, 64) for data in train], range(200))
    test = [tiny[f"tiny-imagenet-200/val/images/val_{number}.JPEG"] for number in (2, 0, 1)]
    assert equal(dataset.test, [expected_square(data, 64) for data in test], [7, 199, 7])
    assert dataset.class_names[7] == "scorpion"


def tiny_refusal(members, tmp_path):
    mine = write_folder(tmp_path / "mine", members)
    datasets = replaced("tiny_imagenet", (200, 3))
    with pytest.raises(DatasetError) as caught:
        load_dataset("tiny_imagenet", archive=mine, data_dir=tmp_path / "d", datasets=datasets)
    return str(caught.value)


def test_bad_tiny_imagenet_is_explained(tiny, tmp_path):
    annotations = "tiny-imagenet-200/val/val_annotations.txt"
    assert "is missing" in tiny_refusal(
        {name: data for name, data in tiny.items() if name != annotations}, tmp_path / "a"
    )
    wrong = tiny | {annotations: b"val_0.JPEG\tn00000000\t0\n"}
    assert f"line 1 of {annotations}" in tiny_refusal(wrong, tmp_path / "b")
    missing = tiny | {annotations: tiny[annotations] + b"val_9.JPEG\tn01443537\t0\n"}
    assert "lacks tiny-imagenet-200/val/images/val_9.JPEG" in tiny_refusal(missing, tmp_path / "c")
    without = {name: data for name, data in tiny.items() if "n01443537" not in name}
    assert "lacks n01443537" in tiny_refusal(without, tmp_path / "d")
    small = tiny | {"tiny-imagenet-200/val/images/val_1.JPEG": png(pixels(0, 1, 8, 8)[0])}
    assert "has 8×8 pixels, not 64×64" in tiny_refusal(small, tmp_path / "e")
