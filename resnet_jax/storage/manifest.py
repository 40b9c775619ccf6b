"""A manifest: size and digest of every file in a folder, to detect damage later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from .atomic import to_disk

MANIFEST = "manifest.json"
"""Name of the manifest in the folder."""

# Orbax writes these before or after it renames a checkpoint, and can read it without them.
_BOOKKEEPING = frozenset(("_CHECKPOINT_METADATA", "commit_success.txt"))


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file that belongs in the manifest, sorted."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and name not in _BOOKKEEPING:
            yield path


def _digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, *, needed: Collection[str] = ()) -> None:
    """Write `manifest.json`: size in bytes and SHA-256 of every file that is in the folder now.

    Args:
        folder: folder that nobody else writes into meanwhile.
        needed: names of files without which the folder is of no use.

    Raises:
        OSError: if a file is missing or cannot be read, or the manifest cannot be written.
    """
    for name in needed:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{name} is missing in {folder}")
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _digest(path)}
        for path in _files(folder)
    }
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump({"files": files}, file, indent=1)
        to_disk(file)


def find_damage(
    folder: Path, *, needed: Collection[str] = (), only: Collection[str] | None = None
) -> str | None:
    """Compare a folder with its manifest.

    Files that the manifest does not name are ignored.

    Args:
        folder: folder with a manifest from `write_manifest`.
        needed: names of files that count as missing if the manifest does not name them.
        only: names of the files to compare; None compares all.

    Returns:
        The first file that differs and how, or None if no file has changed.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "weights").write_bytes(bytes(9))
    >>> write_manifest(folder)
    >>> find_damage(folder)
    >>> _ = (folder / "weights").write_bytes(bytes(5))
    >>> find_damage(folder)
    'weights has 5 of 9 bytes'
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return f"{MANIFEST} is missing"
    try:
        files = json.loads(manifest.read_bytes())["files"]
        for name, expected in files.items():
            if only is not None and name not in only:
                continue
            damage = _compare(folder, PurePosixPath(name), expected)
            if damage is not None:
                return damage
        for name in needed:
            if name not in files:
                return f"{name} is missing"
    except OSError as error:
        return f"{Path(error.filename or manifest).name} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{MANIFEST} is not a manifest"
    return None if files else f"{MANIFEST} names no file"


def _compare(folder: Path, name: PurePosixPath, expected: Any) -> str | None:
    """Return how a file differs from its entry in the manifest, or None if it does not."""
    if name.is_absolute() or ".." in name.parts:
        return f"{MANIFEST} names {name}, which is outside of the folder"
    path = folder / name
    if not path.is_file():
        return f"{name} is missing"
    size = path.stat().st_size
    if size != expected["bytes"]:
        return f"{name} has {size} of {expected['bytes']} bytes"
    if _digest(path) != expected["sha256"]:
        return f"{name} has other contents than were written"
    return None
