"""Damaged, foreign and hostile weights: one line each, nothing executed, no hang, no memory."""

import argparse
import collections
import gzip
import io
import json
import os
import pickle
import signal
import struct
import tarfile
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import resnet_jax as rj

torch = pytest.importorskip("torch")
resource = pytest.importorskip("resource")

SECONDS = 120  # after which a case counts as hanging
MEMORY = 4 * 2**30  # bytes that a case may add
MODEL = rj.create_model("resnet18", 3, layers=(1, 1, 1, 1), base_planes=2)


@pytest.fixture(scope="module")
def tensors():
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    return rj.to_torch(MODEL, jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes))


@pytest.fixture
def guard():
    """Make a case fail that takes too long, and let one that takes too much memory see no more."""

    def late(number, frame):
        raise AssertionError("the case hangs")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Bomb:
    """An object whose pickle makes a file when it is executed."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def header(tensors_, data=b"", length=None):
    """Return a safetensors file of any header."""
    text = tensors_ if isinstance(tensors_, bytes) else json.dumps(tensors_).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(shape, begin, end, dtype="F32", data=b"\0" * 16):
    return header({"a": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}, data)


def torch_bytes(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def archive(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def replaced(content, pickled, record=None):
    """Return a file of `torch.save` with another pickle, and maybe other tensors."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for file in old.infolist():
            data = old.read(file)
            if file.filename.endswith("data.pkl") and pickled is not None:
                data = pickled
            if "/data/" in file.filename and record is not None:
                new.writestr(file.filename, record, zipfile.ZIP_DEFLATED)
                continue
            new.writestr(file.filename, data)
    return buffer.getvalue()


def flipped(content, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for at in rng.integers(0, min(len(data), 3000), 20):
        data[at] ^= int(rng.integers(1, 256))
    return bytes(data)


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return buffer.getvalue()


def net(tensors, **changes):
    return {n: torch.tensor(v) for n, v in tensors.items()} | changes


def circle():
    inner = {}
    inner["again"] = inner
    return {f"a{at}": {f"b{at}": inner, "x": {"y": {"z": {}}}} for at in range(500)}


def legacy(value):
    return torch_bytes(value, _use_new_zipfile_serialization=False)


BYTES = {
    # Other files under a name for weights.
    "empty": lambda t, m: b"",
    "one byte": lambda t, m: b"P",
    "text": lambda t, m: b"these are no weights\n" * 9,
    "zeros": lambda t, m: b"\0" * 4096,
    "noise": lambda t, m: np.random.default_rng(0).bytes(4096),
    "web page": lambda t, m: b"<!DOCTYPE html><html>Not found</html>",
    "git lfs": lambda t, m: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "json": lambda t, m: b'{"state_dict": {}}',
    "gzip": lambda t, m: gzip.compress(b"weights"),
    "hdf5": lambda t, m: b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
    "npy": lambda t, m: b"\x93NUMPY\x01\x00" + b"\0" * 100,
    "npz": lambda t, m: archive(a__npy="x"),
    "zip of text": lambda t, m: archive(readme="text"),
    "tar": lambda t, m: tar(),
    "png": lambda t, m: b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "program": lambda t, m: b"\x7fELF" + b"\0" * 100,
    "utf-16": lambda t, m: "weights".encode("utf-16"),
    "begin of a zip": lambda t, m: b"PK\x03\x04",
    # Damaged safetensors.
    "safetensors without end": lambda t, m: save(t)[:-1],
    "half of safetensors": lambda t, m: save(t)[: len(save(t)) // 2],
    "header of safetensors cut": lambda t, m: save(t)[:200],
    "safetensors with more": lambda t, m: save(t) + b"more",
    "flipped header": lambda t, m: flipped(save(t), 1),
    "header of a terabyte": lambda t, m: header({}, length=2**40),
    "header of all": lambda t, m: header({}, length=2**64 - 1),
    "tensor of a terabyte": lambda t, m: one([2**38], 0, 2**40),
    "shape of a terabyte": lambda t, m: one([2**38], 0, 16),
    "shape that overflows": lambda t, m: one([2**62, 4, 4], 0, 16),
    "negative shape": lambda t, m: one([-4], 0, 16),
    "offsets backwards": lambda t, m: one([4], 16, 0),
    "unknown dtype": lambda t, m: one([4], 0, 16, dtype="F99"),
    "float8": lambda t, m: one([16], 0, 16, dtype="F8_E4M3"),
    "header of a list": lambda t, m: header(b"[1]"),
    "deep header": lambda t, m: header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no tensors": lambda t, m: header({"__metadata__": {"format": "pt"}}),
    "names in two lines": lambda t, m: save({"a\nb\x1b[1m": t["fc.bias"]}),
    "endless names": lambda t, m: save({"x" * 10**6: t["fc.bias"]}),
    # Damaged files of torch.
    "half of torch": lambda t, m: torch_bytes(net(t))[: len(torch_bytes(net(t))) // 2],
    "torch without end": lambda t, m: torch_bytes(net(t))[:-1],
    "flipped torch": lambda t, m: flipped(torch_bytes(net(t)), 2),
    "half of legacy": lambda t, m: legacy(net(t))[: len(legacy(net(t))) // 2],
    "begin of legacy": lambda t, m: legacy(net(t))[:50],
    "flipped legacy": lambda t, m: flipped(legacy(net(t)), 3),
    "zip bomb": lambda t, m: replaced(torch_bytes(net(t)), None, b"\0" * 10**7),
    "no pickle": lambda t, m: replaced(torch_bytes(net(t)), b""),
    "pickle of bytes": lambda t, m: replaced(torch_bytes(net(t)), b"\x80\x02" + b"(" * 100_000),
    # Objects that would run code.
    "bomb": lambda t, m: pickle.dumps(Bomb(m)),
    "bomb in torch": lambda t, m: torch_bytes({"state_dict": net(t), "extra": Bomb(m)}),
    "bomb in legacy": lambda t, m: legacy(net(t) | {"extra": Bomb(m)}),
    "bomb in place": lambda t, m: replaced(torch_bytes(net(t)), pickle.dumps(Bomb(m), 2)),
    "bomb in a namespace": lambda t, m: torch_bytes({"args": argparse.Namespace(a=Bomb(m))}),
    "eval": lambda t, m: torch_bytes(Calls(eval, f"__import__('os').mkdir({str(m)!r})")),
    "getattr": lambda t, m: torch_bytes(Calls(getattr, "text", "upper")),
    "command": lambda t, m: torch_bytes(Calls(os.system, f"mkdir {m}")),
    "memory": lambda t, m: torch_bytes(Calls(bytearray, 2**40)),
    "module": lambda t, m: torch_bytes(torch.nn.Linear(2, 2)),
    # Other things that torch saves.
    "list": lambda t, m: torch_bytes([torch.zeros(3)]),
    "tensor": lambda t, m: torch_bytes(torch.zeros(3)),
    "nothing": lambda t, m: torch_bytes(None),
    "empty dict": lambda t, m: torch_bytes({}),
    "numbers for names": lambda t, m: torch_bytes(dict(enumerate(net(t).values()))),
    "texts for tensors": lambda t, m: torch_bytes(dict.fromkeys(t, "weights")),
    "nothing for tensors": lambda t, m: torch_bytes(dict.fromkeys(t)),
    "lists for tensors": lambda t, m: torch_bytes({n: [[1.0], [2.0, 3.0]] for n in t}),
    "circle": lambda t, m: torch_bytes(circle()),
    "counter": lambda t, m: torch_bytes(collections.Counter("weights")),
    "sparse": lambda t, m: torch_bytes(
        net(t) | {"fc.weight": torch.zeros(t["fc.weight"].shape).to_sparse()}
    ),
    "no values": lambda t, m: torch_bytes(net(t) | {"fc.bias": torch.zeros(3, device="meta")}),
    "complex": lambda t, m: torch_bytes(net(t) | {"fc.bias": torch.zeros(3) * 1j}),
    "one value for all": lambda t, m: torch_bytes(
        net(t) | {"fc.weight": torch.zeros(1).expand(2**19, 2**20)}
    ),
    "one half for all": lambda t, m: torch_bytes(
        net(t) | {"fc.weight": torch.zeros(1).bfloat16().expand(2**19, 2**20)}
    ),
    "not finite": lambda t, m: torch_bytes(net(t) | {"fc.bias": torch.tensor([1, np.nan, 1])}),
    "another network": lambda t, m: torch_bytes(torch.nn.Linear(2, 2).state_dict()),
}


def check(load, marker, guard):
    try:
        loaded = load()
    except (rj.WeightsError, OSError, ValueError) as error:
        line = str(error)
        assert line.strip() == line != ""
        assert line.isprintable()
        assert len(line) < 1500
    else:
        pytest.fail(f"{type(loaded)} was loaded")
    assert not marker.exists()


@pytest.mark.parametrize("case", BYTES)
def test_files(case, tensors, tmp_path, guard):
    marker = tmp_path / "executed"
    path = tmp_path / "weights.pth"
    path.write_bytes(BYTES[case](tensors, marker))
    assert not marker.exists()
    check(lambda: rj.load_weights(MODEL, path), marker, guard)


FOLDERS = {
    "no file": lambda folder: (folder / "model.safetensors").unlink(),
    "folder for a file": lambda folder: [
        (folder / "model.safetensors").unlink(),
        (folder / "model.safetensors").mkdir(),
    ],
    "pipe for a file": lambda folder: [
        (folder / "model.safetensors").unlink(),
        os.mkfifo(folder / "model.safetensors"),
    ],
    "circle of links": lambda folder: [
        (folder / "model.safetensors").unlink(),
        (folder / "model.safetensors").symlink_to("model.safetensors"),
    ],
    **{
        name: lambda folder, text=text: (folder / "config.json").write_bytes(text)
        for name, text in {
            "empty": b"",
            "text": b"resnet18",
            "list": b"[]",
            "deep": b"[" * 100_000,
            "nan": b'{"architecture": NaN}',
            "binary": b"\xff\xfe\0",
            "no architecture": b"{}",
            "another": b'{"architecture": "vit_tiny"}',
            "endless": b'{"architecture": "' + b"a" * 10**6 + b'"}',
            "lines": b'{"architecture": "a\\nb\\u001b[1m"}',
            "layers": b'{"architecture": "resnet18", "model_args": {"layers": [1, 1, 1, 1e9]}}',
            "channels": b'{"architecture": "resnet18", "model_args": {"channels": [0, 0, 0, 0]}}',
            "wide": b'{"architecture": "resnet18", "model_args": {"channels": [1e9, "a", 0]}}',
            "classes": b'{"architecture": "resnet18", "num_classes": 1e400}',
            "labels": b'{"architecture": "resnet18", "num_classes": 3, "label_names": 5}',
            "mean": b'{"architecture": "resnet18", "pretrained_cfg": {"mean": "grey"}}',
            "size": b'{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 0, 0]}}',
            "share": b'{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": 1e-300}}',
            "transformers": b'{"model_type": "resnet", "depths": [1, 1, 1, 1]}',
            "kind": b'{"model_type": ["resnet"]}',
        }.items()
    },
    **{
        f"index {name}": lambda folder, text=text: [
            (folder / "model.safetensors").unlink(),
            (folder / "model.safetensors.index.json").write_bytes(text),
        ]
        for name, text in {
            "empty": b"",
            "list": b"[]",
            "nothing": b'{"weight_map": {}}',
            "numbers": b'{"weight_map": {"a": 5}}',
            "elsewhere": b'{"weight_map": {"a": "../weights.safetensors"}}',
            "missing": b'{"weight_map": {"a": "a.safetensors"}}',
            "itself": b'{"weight_map": {"a": "model.safetensors.index.json"}}',
        }.items()
    },
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders(case, tensors, tmp_path, guard):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(save(tensors))
    (tmp_path / "weights.safetensors").write_bytes(save(tensors))
    (folder / "config.json").write_text('{"architecture": "resnet18", "num_classes": 3}')
    FOLDERS[case](folder)
    check(lambda: rj.load_pretrained(folder), tmp_path / "executed", guard)
