"""Weight files that torch users have: ``.safetensors``, and ``.pth`` or ``.pt``."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from jax import Array

from .resnet import ResNet
from .torch_weights import Variables, WeightsError, from_torch, to_torch

_PACKAGES = {".safetensors": "safetensors.numpy", ".pth": "torch", ".pt": "torch"}
_MAKERS = {
    ".safetensors": "safetensors.torch.save_file(net.state_dict(), path)",
    ".pth": "torch.save(net.state_dict(), path)",
    ".pt": "torch.save(net.state_dict(), path)",
}
# Under which training scripts keep the network beside the optimizer.
_ENTRIES = ("state_dict", "model_state_dict", "model")


def load_weights(
    model: ResNet,
    path: str | os.PathLike[str],
    *,
    head: Literal["strict", "reinit"] = "strict",
    key: Array | None = None,
) -> Variables:
    """Returns the variables of ``model`` that a file holds under torchvision's names.

    A ``.pth`` or ``.pt`` file is read with ``weights_only=True``, which runs no code of the
    file's; a checkpoint that keeps the network under ``state_dict``, ``model_state_dict`` or
    ``model`` is read from there.

    Args:
        model: the module that the variables are for.
        path: a ``.safetensors``, ``.pth`` or ``.pt`` file; the last two need torch.
        head: as of ``from_torch``.
        key: as of ``from_torch``.

    Raises:
        WeightsError: if the name has another ending, the file is none of its kind, or its tensors
            do not fit the model.
        OSError: if there is no such file, or it may not be read.
        ImportError: if torch is needed and not installed.
    """
    path = Path(path)
    package = _package(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` (={path}) does not exist")
    path.open("rb").close()  # What may not be read says so by itself.
    try:
        if path.suffix == ".safetensors":
            state_dict = package.load_file(path)
        else:
            state_dict = package.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a reader raises for bytes of another kind is not fixed
        raise WeightsError(
            f"`path` (={path}) is damaged or holds more than plain tensors by name; "
            f"{_MAKERS[path.suffix]} makes such a file"
        ) from error
    if isinstance(state_dict, Mapping):
        for entry in _ENTRIES:
            if isinstance(state_dict.get(entry), Mapping):
                state_dict = state_dict[entry]
                break
    if not isinstance(state_dict, Mapping):
        raise WeightsError(
            f"`path` (={path}) holds a {type(state_dict).__name__}, not tensors by name"
        )
    return from_torch(model, state_dict, head=head, key=key)


def save_weights(
    path: str | os.PathLike[str],
    model: ResNet,
    variables: Mapping[str, Any],
    *,
    num_batches_tracked: int = 0,
    overwrite: bool = False,
) -> None:
    """Writes a model's variables under torchvision's names, completely or not at all.

    Args:
        path: a ``.safetensors``, ``.pth`` or ``.pt`` file; the last two need torch. Missing
            parent folders are made.
        model: the module that the variables belong to.
        variables: its ``params`` and ``batch_stats``.
        num_batches_tracked: as of ``to_torch``.
        overwrite: replace an existing file.

    Raises:
        WeightsError: if the name has another ending, or the variables do not fit the model.
        FileExistsError: if the file exists and ``overwrite`` is False.
        ImportError: if torch is needed and not installed.
    """
    path = Path(path)
    package = _package(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"`path` (={path}) exists; overwrite=True replaces it")
    state_dict = to_torch(model, variables, num_batches_tracked=num_batches_tracked)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if path.suffix == ".safetensors":
            package.save_file(state_dict, temporary, metadata={"format": "pt"})
        else:
            tensors = {name: package.from_numpy(array) for name, array in state_dict.items()}
            package.save(tensors, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _package(path: Path) -> ModuleType:
    """The package that reads and writes such a file."""
    name = _PACKAGES.get(path.suffix)
    if name is None:
        raise WeightsError(f"`path` (={path}) must end in .safetensors, .pth or .pt")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        other = "; a .safetensors file does without" if package == "torch" else ""
        raise ImportError(
            f"`path` (={path}) needs {package} (pip install {package}){other}"
        ) from error
