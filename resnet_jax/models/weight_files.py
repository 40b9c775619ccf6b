"""Weight files that torch users have: `.safetensors`, and `.pth` or `.pt`."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax import Array

from ..storage import atomic_path, expand_user, first_line
from .resnet import ResNet
from .torch_names import WeightsError
from .torch_weights import Head, Variables, check_choices, read_network, tell, to_torch
from .weight_readers import read_checkpoint, torch_for

_SUFFIXES = (".safetensors", ".pth", ".pt")


def load_weights(
    model: ResNet,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    prefix: str | None = None,
    head: Head = "strict",
    head_key: Array | None = None,
) -> Variables:
    """Read the variables of `model` from a weight file or a checkpoint of a training.

    The content of the file tells its format, safetensors or that of `torch.save`, whatever its
    name (`.safetensors`, `.pth`, `.pt`, `.pth.tar`, `.ckpt`, `.bin`, …). No code in it is run.
    `from_torch` says what is found in a checkpoint and which names are understood.

    Args:
        model: the module that the variables are for.
        path: the file; one of `torch.save` needs torch.
        key: see `from_torch`.
        prefix: see `from_torch`.
        head: see `from_torch`.
        head_key: see `from_torch`.

    Returns:
        `params` and `batch_stats`, as `from_torch` returns them.

    Raises:
        WeightsError: if the file has another format, is damaged, holds objects that could run
            code, or if its tensors do not fit the model.
        ValueError: see `from_torch`.
        TypeError: see `from_torch`.
        OSError: if the file does not exist or cannot be read.
        ImportError: if torch is needed and not installed.

    >>> import jax, tempfile
    >>> from resnet_jax import BasicBlock, ResNet, save_weights
    >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)))
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_weights(path, model, variables)
    >>> load_weights(model, path)["params"]["fc"]["kernel"].shape
    (64, 10)
    """
    variables, notes = read_weights(
        model, path, key=key, prefix=prefix, head=head, head_key=head_key
    )
    tell(notes)
    return variables


def read_weights(
    model: ResNet,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    prefix: str | None = None,
    head: Head = "strict",
    head_key: Array | None = None,
) -> tuple[Variables, tuple[str, ...]]:
    """Return what `load_weights` returns, and sentences on what was taken and passed over.

    Args:
        model: see `load_weights`.
        path: see `load_weights`.
        key: see `load_weights`.
        prefix: see `load_weights`.
        head: see `load_weights`.
        head_key: see `load_weights`.

    Raises:
        WeightsError: see `load_weights`.
        ValueError: see `load_weights`.
        TypeError: see `load_weights`.
        OSError: see `load_weights`.
        ImportError: see `load_weights`.
    """
    check_choices(key, prefix, head)
    path = expand_user(path)
    return read_network(
        model, read_checkpoint(path), key=key, prefix=prefix, head=head, head_key=head_key
    )


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
        OSError: if the file cannot be written; an existing one stays as it was.
        ImportError: if torch is needed and not installed.
    """
    path = expand_user(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise WeightsError(f"`path` (={path}) must end in .safetensors, .pth or .pt")
    torch = None if suffix == ".safetensors" else torch_for(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"`path` (={path}) exists; overwrite=True replaces it")
    state_dict = to_torch(model, variables, num_batches_tracked=num_batches_tracked)
    with atomic_path(path) as temporary:
        try:
            if torch is None:
                from safetensors.numpy import save_file

                save_file(state_dict, temporary, metadata={"format": "pt"})
            else:
                tensors = {name: torch.from_numpy(array) for name, array in state_dict.items()}
                torch.save(tensors, temporary)
        except OSError:
            raise
        except Exception as error:  # both report a full disk by exceptions of their own
            raise _write_error(error, path) from error


def _write_error(error: Exception, path: Path) -> OSError:
    """Return the error of the disk that a writer's exception tells of, with the file's name."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is None:
        return OSError(errno.EIO, f"cannot be written ({first_line(error)})", str(path))
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
