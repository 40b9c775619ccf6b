"""The weights in a folder: one file, or several with an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..models import WeightsError
from ..models.weight_readers import read_checkpoint
from ..storage import read_json

CONFIG = "config.json"
"""The name of the description."""
PREPROCESSOR = "preprocessor_config.json"
"""The name of the description of the transform in transformers' form."""
SINGLE = ("model.safetensors", "pytorch_model.bin")
"""The names of weights in one file, best first."""
NAMES = tuple(name for single in SINGLE for name in (single, f"{single}.index.json"))
"""The names of weights, and of the indices of those in several files, best first."""

Find = Callable[[str], Path | None]


def find_weights(find: Find) -> list[Path]:
    """Return the files that hold the weights; an empty list if there are none.

    Args:
        find: returns the path of a file by its name, or None if there is no such file.

    Raises:
        WeightsError: if an index is damaged, or one of its files is missing.
    """
    for name in NAMES:
        path = find(name)
        if path is None:
            continue
        return [path] if name in SINGLE else [_shard(shard, path, find) for shard in _shards(path)]
    return []


def read_files(paths: list[Path]) -> Mapping[Any, Any]:
    """Return what the files hold together.

    Args:
        paths: one file, or those of an index.

    Raises:
        WeightsError: see `read_checkpoint`; or if two files hold a tensor of the same name.
        OSError: see `read_checkpoint`.
        ImportError: see `read_checkpoint`.
    """
    if len(paths) == 1:
        return read_checkpoint(paths[0])
    merged: dict[Any, Any] = {}
    for path in paths:
        tensors = read_checkpoint(path)
        if twice := merged.keys() & tensors.keys():
            raise WeightsError(f"`{min(map(str, twice))}` is in {path} and in another file")
        merged |= tensors
    return merged


def _shards(index: Path) -> list[str]:
    """Return the names of the files that an index lists."""
    files = read_json(index).get("weight_map")
    if not isinstance(files, Mapping) or not files:
        raise WeightsError(f"{index} has no `weight_map` from tensors to files")
    names = sorted({name if isinstance(name, str) else repr(name) for name in files.values()})
    for name in names:
        # A path would read files elsewhere.
        if name != Path(name).name or "\\" in name or "\0" in name or name.startswith("."):
            raise WeightsError(f"{index} lists {name!r:.80}, which must be a name without folders")
    return names


def _shard(name: str, index: Path, find: Find) -> Path:
    path = find(name)
    if path is None:
        raise WeightsError(f"{index} lists {name}, which is missing; copy it beside the index")
    return path
