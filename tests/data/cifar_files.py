"""Archives in CIFAR's real formats, with few images."""

import dataclasses
import hashlib
import io
import struct
import tarfile

import numpy as np

from resnet_jax.data import DATASETS

from .file_server import NOBODY


class CifarFiles:
    """Deterministic images of a data set, and its archives in both formats."""

    def __init__(self, folder, name, per_batch, test_size, seed=0, server=NOBODY):
        rng = np.random.default_rng(seed)
        self.name = name
        self.classes = 10 if name == "cifar10" else 100
        batches = 5 if name == "cifar10" else 1
        sizes = [per_batch] * batches + [test_size]
        self.images = [rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in sizes]
        self.labels = [rng.integers(0, self.classes, n).astype(np.int32) for n in sizes]
        self.coarse = [rng.integers(0, 20, n).astype(np.int32) for n in sizes]
        stem = "cifar-10" if name == "cifar10" else "cifar-100"
        self.binary = folder / f"{stem}-binary.tar.gz"
        self.python = folder / f"{stem}-python.tar.gz"
        write_tar(self.binary, self.binary_members())
        write_tar(self.python, self.python_members())
        digests = tuple(md5(data) for data in self.python_members().values())
        self.sizes = (sum(sizes[:-1]), sizes[-1])
        self.loader = loader_with(
            name,
            python=self.python,
            binary=self.binary,
            sizes=self.sizes,
            digests=digests,
            server=server,
        )
        self.datasets = datasets_with(name, self.loader)

    @property
    def train_images(self):
        return np.concatenate(self.images[:-1])

    @property
    def train_labels(self):
        return np.concatenate(self.labels[:-1])

    @property
    def test_images(self):
        return self.images[-1]

    @property
    def test_labels(self):
        return self.labels[-1]

    def binary_members(self):
        if self.name == "cifar10":
            names = [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)]
            names.append("cifar-10-batches-bin/test_batch.bin")
        else:
            names = ["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"]
        # The real archives do not keep their members in order either.
        members = {"readme.html": b"hello"}
        for name, images, labels, coarse in reversed(
            list(zip(names, self.images, self.labels, self.coarse, strict=True))
        ):
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            heads = [labels] if self.name == "cifar10" else [coarse, labels]
            rows = np.column_stack([*[h.astype(np.uint8) for h in heads], planes])
            members[name] = rows.tobytes()
        return members

    def python_members(self):
        if self.name == "cifar10":
            names = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
            names.append("cifar-10-batches-py/test_batch")
            keys = ["labels"]
        else:
            names, keys = (
                ["cifar-100-python/train", "cifar-100-python/test"],
                ["fine_labels", "coarse_labels"],
            )
        members = {}
        for name, images, labels, coarse in zip(
            names, self.images, self.labels, self.coarse, strict=True
        ):
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            lists = dict(zip(keys, (labels.tolist(), coarse.tolist()), strict=False))
            members[name] = python2_batch(planes, lists)
        return members


def python2_batch(pixels, lists):
    """A batch as Python 2's cPickle wrote it (protocol 2, byte strings, NumPy 1 names)."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def integers(values):
        return b"](" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"e"

    n, width = pixels.shape
    data = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01"
        + b"J"
        + struct.pack("<i", n)
        + b"J"
        + struct.pack("<i", width)
        + b"\x86cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(data))
        + data
        + b"tb"
    )
    items = text(b"batch_label") + text(b"a batch") + text(b"data") + array
    for key, values in lists.items():
        items += text(key.encode()) + integers(values)
    names = b"](" + text(b"caf\xe9.png") * n + b"e"
    return b"\x80\x02}(" + items + text(b"filenames") + names + b"u."


def write_tar(path, members):
    """Writes a .tar.gz of members by name, the same bytes each time."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def md5(data):
    return f"md5:{hashlib.md5(data).hexdigest()}"


def loader_with(
    name, *, python=None, binary=None, sizes=None, digests=None, urls=None, server=NOBODY
):
    """A loader of a data set that knows files of the tests in the place of the published ones."""
    load = DATASETS[name].load
    archives = tuple(
        dataclasses.replace(
            archive,
            digest=archive.digest if path is None else md5(path.read_bytes()),
            size=None,
            urls=urls or (f"{server}{archive.name}",),
        )
        for archive, path in zip(load.forms.archives, (python, binary), strict=True)
    )
    pickled, *others = load.forms.layouts
    pickled = dataclasses.replace(pickled, digests=digests or pickled.digests)
    forms = dataclasses.replace(load.forms, archives=archives, layouts=(pickled, *others))
    return dataclasses.replace(load, sizes=sizes or load.sizes, forms=forms, downloads=archives[:1])


def datasets_with(name, loader):
    """The registry, with this loader in the row of a data set."""
    return {**DATASETS, name: dataclasses.replace(DATASETS[name], load=loader)}
