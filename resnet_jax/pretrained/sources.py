"""What a source is: a folder, a file, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..models import WeightsError
from ..storage import expand_user
from .hub import HubFiles
from .weights import CONFIG, PREPROCESSOR, SINGLE, find_weights

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_HUB = ("hf-hub:", "hf_hub:")
_LOCAL = "local-dir:"
_ENDINGS = (".safetensors", ".pth", ".pt", ".tar", ".ckpt", ".bin", ".th")


@dataclass(frozen=True)
class Source:
    """The files that a source consists of.

    Attributes:
        name: what the source is called.
        weights: one file, or those of an index.
        config: the `config.json`, if there is one.
        preprocessor: the `preprocessor_config.json`, if there is one.
        notes: sentences on how the source was understood.
    """

    name: str
    weights: list[Path]
    config: Path | None = None
    preprocessor: Path | None = None
    notes: tuple[str, ...] = ()


def find_source(source: str | os.PathLike[str]) -> Source:
    """Return the files of a source; those of the Hub are fetched or taken from its cache.

    Args:
        source: see `load_pretrained`.

    Raises:
        WeightsError: if the source is no name of a repository, or has no weights.
        OSError: if there is no such file or folder, or the Hub cannot be reached.
        ImportError: if the source is on the Hub and `huggingface_hub` is not installed.
    """
    text = os.fspath(source)
    for prefix in _HUB:
        if text.startswith(prefix):
            return _on_hub(text.removeprefix(prefix))
    path = expand_user(text.removeprefix(_LOCAL))
    is_name = isinstance(source, str) and not text.startswith(_LOCAL)
    is_repository = is_name and _is_repository(text)
    if os.path.lexists(path):
        if not is_repository or not path.is_dir():
            return _local(path)
        note = f"The folder {path} is read; 'hf-hub:{text}' reads the repository of that name."
        return _local(path, (note,))
    if is_repository:
        return _on_hub(text)
    hint = "; a repository of the Hugging Face Hub is 'owner/name'" if is_name else ""
    raise FileNotFoundError(f"`source` (={text}) does not exist{hint}")


def _is_repository(text: str) -> bool:
    return bool(_REPOSITORY.fullmatch(text)) and not text.lower().endswith(_ENDINGS)


def _local(path: Path, notes: tuple[str, ...] = ()) -> Source:
    """Return the files of a folder, or a file."""
    if not path.is_dir():
        return Source(str(path), [path])

    def find(name: str) -> Path | None:
        return path / name if (path / name).is_file() else None

    return _source(str(path), find_weights(find), find(CONFIG), find, notes)


def _on_hub(text: str) -> Source:
    """Return the files of a repository, fetched or in the cache."""
    if not _REPOSITORY.fullmatch(text):
        raise WeightsError(f"`source` (={text!r:.80}) must be 'hf-hub:owner/name[@revision]'")
    repository, _, revision = text.partition("@")
    files = HubFiles(repository, revision or None)
    weights = find_weights(files.find)
    if not weights and files.unreached is not None:
        raise files.unreached
    return _source(files.name, weights, files.config, files.find, ())


def _source(
    name: str,
    weights: list[Path],
    config: Path | None,
    find: Callable[[str], Path | None],
    notes: tuple[str, ...],
) -> Source:
    """Return the files of a folder, or raise if it has no weights."""
    if not weights:
        raise WeightsError(
            f"`source` (={name}) has no weights; it must hold {' or '.join(SINGLE)}, or the index "
            "and the files of one of them"
        )
    return Source(name, weights, config, find(PREPROCESSOR), notes)
