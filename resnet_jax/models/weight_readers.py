"""Reading of weight files by what is in them, whatever their names; no code in them is run."""

from __future__ import annotations

import argparse
import importlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .torch_names import WeightsError

_HEAD = 512  # bytes that tell a format
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` fetches the weights"),
    (b"<", "a page of the web or XML, as a failed download leaves one; download it again"),
    (b"\x89HDF", "an HDF5 file, which Keras writes"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"{", "JSON"),
)
_WRITES = "torch.save(net.state_dict(), path) makes such a file"


def read_checkpoint(path: Path) -> Mapping[Any, Any]:
    """Read a safetensors file or a file of `torch.save`.

    A file of `torch.save` is read with `weights_only=True`, which runs no code from the file.
    Beside tensors it may hold plain values and an `argparse.Namespace`, which is no more.

    Args:
        path: the file; its content tells the format, not its name.

    Returns:
        What the file holds: tensors by name, or a checkpoint with other entries.

    Raises:
        WeightsError: if the file has another format, is damaged, or holds other objects.
        OSError: if the file does not exist or cannot be read.
        ImportError: if torch is needed and not installed.
    """
    if not path.exists():
        raise FileNotFoundError(f"`path` (={path}) does not exist")
    if not path.is_file():
        raise WeightsError(f"`path` (={path}) is no file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
        size = file.seek(0, 2)
    checkpoint = _reader(path, head, size)(path)
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(
            f"`path` (={path}) holds a {type(checkpoint).__name__}, not tensors by name"
        )
    return checkpoint


def torch_for(path: Path) -> ModuleType:
    """Return torch, which reads and writes such a file.

    Args:
        path: the file.

    Raises:
        ImportError: if torch is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            f"`path` (={path}) needs torch (pip install torch); a .safetensors file does not"
        ) from error


def _reader(path: Path, head: bytes, size: int) -> Callable[[Path], Any]:
    """Return what reads a file that begins with `head` and has `size` bytes."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") + 8 <= size:
        return _read_safetensors
    if head[:4] == b"PK\x03\x04":
        return _read_zip
    if head[:1] == b"\x80":
        return _read_torch
    if head[257:262] == b"ustar":
        raise WeightsError(
            f"`path` (={path}) is an archive of tar; unpack it, and save weights of torch 0.1 by "
            "a newer one"
        )
    for begin, what in _OTHERS:
        if head.lstrip().startswith(begin):
            raise WeightsError(f"`path` (={path}) is {what}; {_WRITES}")
    raise _damaged(path)


def _read_safetensors(path: Path) -> Any:
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except Exception as error:  # the reader does not document what it raises for other formats
        raise _damaged(path) from error


def _read_zip(path: Path) -> Any:
    """Read an archive of `torch.save`, if it unpacks to no more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _damaged(path) from error
    if sum(file.file_size for file in files) > path.stat().st_size:
        raise _damaged(path)
    return _read_torch(path)


def _read_torch(path: Path) -> Any:
    torch = torch_for(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch does not document what it raises for other formats
        names = _other_objects(torch, path)
        if not names:
            raise _damaged(path) from error
        raise WeightsError(
            f"`path` (={path}) holds objects beside its tensors ({', '.join(names)}), which are "
            "not read because they could run code; whoever trusts the file can write its tensors "
            "alone: torch.save(torch.load(path, weights_only=False)['state_dict'], 'weights.pth')"
        ) from error


def _other_objects(torch: ModuleType, path: Path) -> list[str]:
    """Return a few names of the objects in a file that torch does not read; empty if unknown."""
    try:
        names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # a damaged file, or one that is no zip archive
        return []
    return sorted(names - {"argparse.Namespace"})[:4]


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"`path` (={path}) is damaged or no file of weights; {_WRITES}")
