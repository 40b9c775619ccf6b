"""Weight files that torch users have: `.safetensors`, and `.pth` or `.pt`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from jax import Array

from ..storage import atomic_path, expand_user
from .resnet import ResNet
from .torch_names import WeightsError
from .torch_weights import Variables, from_torch, to_torch

_PACKAGES = {".safetensors": "safetensors.numpy", ".pth": "torch", ".pt": "torch"}
_MAKERS = {
    ".safetensors": "safetensors.torch.save_file(net.state_dict(), path)",
    ".pth": "torch.save(net.state_dict(), path)",
    ".pt": "torch.save(net.state_dict(), path)",
}
# The keys under which training scripts keep the network, beside the optimizer.
_ENTRIES = ("state_dict", "model_state_dict", "model")


def load_weights(
    model: ResNet,
    path: str | os.PathLike[str],
    *,
    head: Literal["strict", "reinit"] = "strict",
    key: Array | None = None,
) -> Variables:
    """Read the variables of `model` from a file with torchvision's names.

    A `.pth` or `.pt` file is read with `weights_only=True`, which runs no code from
    the file; a checkpoint that keeps the network under `state_dict`, `model_state_dict` or
    `model` is read from there.

    Args:
        model: the module that the variables are for.
        path: a `.safetensors`, `.pth` or `.pt` file; the last two need torch.
        head: see `from_torch`.
        key: see `from_torch`.

    Returns:
        `params` and `batch_stats`, as `from_torch` returns them.

    Raises:
        WeightsError: if the name has another ending, the file does not have the format of its
            ending, or its tensors do not fit the model.
        OSError: if the file does not exist or cannot be read.
        ImportError: if torch is needed and not installed.
    """
    path = expand_user(path)
    package = _package(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` (={path}) does not exist")
    path.open("rb").close()  # raises the plain OSError of a file that cannot be read
    try:
        if path.suffix == ".safetensors":
            state_dict = package.load_file(path)
        else:
            state_dict = package.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers do not document what they raise for other formats
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
    """Write a model's variables under torchvision's names, completely or not at all.

    Args:
        path: a `.safetensors`, `.pth` or `.pt` file; the last two need torch. Missing
            parent folders are made.
        model: the module that the variables belong to.
        variables: its `params` and `batch_stats`.
        num_batches_tracked: see `to_torch`.
        overwrite: replace an existing file.

    Raises:
        WeightsError: if the name has another ending, or the variables do not fit the model.
        FileExistsError: if the file exists and `overwrite` is False.
        ImportError: if torch is needed and not installed.
    """
    path = expand_user(path)
    package = _package(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"`path` (={path}) exists; overwrite=True replaces it")
    state_dict = to_torch(model, variables, num_batches_tracked=num_batches_tracked)
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            package.save_file(state_dict, temporary, metadata={"format": "pt"})
        else:
            tensors = {name: package.from_numpy(array) for name, array in state_dict.items()}
            package.save(tensors, temporary)


def _package(path: Path) -> ModuleType:
    """Return the package that reads and writes such a file."""
    name = _PACKAGES.get(path.suffix)
    if name is None:
        raise WeightsError(f"`path` (={path}) must end in .safetensors, .pth or .pt")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        other = "; a .safetensors file does not need it" if package == "torch" else ""
        raise ImportError(
            f"`path` (={path}) needs {package} (pip install {package}){other}"
        ) from error
