"""Files by name: in a folder, a `.zip` or a `.tar`, none of which is unpacked to the disk."""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ...storage import one_line, printable
from ..base import DatasetError
from ..image_search import is_system_name

_logger = logging.getLogger(__name__)


class Tree(Protocol):
    """Named files in folders; names have slashes, and those of folders end in one.

    Attributes:
        path: the folder or the archive.
    """

    path: Path

    def folders(self, folder: str = "") -> list[str]:
        """Return the sorted names of the visible folders directly in a folder."""

    def files(self, folder: str = "") -> list[str]:
        """Return the sorted names of the visible files directly in a folder."""

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of files, in any order; none for those that are missing.

        Raises:
            DatasetError: if a file cannot be read.
        """

    def stamp(self, names: Iterable[str]) -> str:
        """Return a text that changes when one of the files is replaced or written to."""


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; no if that cannot be told, which `Path.is_dir` raises for.

    Args:
        path: any path.
    """
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Return whether a path is a file; no if that cannot be told, which `Path.is_file` raises for.

    Args:
        path: any path.
    """
    return os.path.isfile(path)  # noqa: PTH113


def open_tree(path: Path) -> Tree | None:
    """Return the files of a folder, or of an archive whatever it is called; None for another file.

    Args:
        path: the folder or file.

    Raises:
        DatasetError: if it cannot be read, or is a damaged archive.
    """
    if is_folder(path):
        return FolderTree(path)
    try:
        if tarfile.is_tarfile(path):
            return _TarTree(path)
        return _ZipTree(path) if zipfile.is_zipfile(path) else None
    except DatasetError:
        raise
    except Exception as error:  # the readers let EOFError, zlib.error and others through
        raise _unreadable(path, error) from error


class FolderTree:
    """The files in a folder.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def folders(self, folder: str = "") -> list[str]:
        """Return the sorted names of the visible folders directly in a folder."""
        return [f"{folder}{name}/" for name in self._entries(folder, folders=True)]

    def files(self, folder: str = "") -> list[str]:
        """Return the sorted names of the visible files directly in a folder."""
        return [f"{folder}{name}" for name in self._entries(folder, folders=False)]

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return is_file(self.path / name)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of files, in their order."""
        for name in names:
            path = self.path / name
            try:
                yield name, path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unreadable(path, error) from error

    def stamp(self, names: Iterable[str]) -> str:
        """Return a digest of the files' names, sizes and times of change."""
        digest = hashlib.sha256()
        for name in sorted(names):
            state = _state(os.path.join(self.path, name))  # noqa: PTH118 - of many thousand files
            digest.update(f"{name}\n{state}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _entries(self, folder: str, *, folders: bool) -> list[str]:
        """Return the sorted names of the visible folders, or files, in a folder."""
        try:
            with os.scandir(self.path / folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir() == folders]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            unreadable = _unreadable(self.path / folder, error)
            if not folder:
                raise unreadable from error
            _logger.warning("%s; it is passed over", unreadable)
            return []
        return sorted(name for name in names if not is_system_name(name))


class _ArchiveTree:
    """The files in an archive, whose names are read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, list[str]] = {}
        self._folders: dict[str, set[str]] = {}
        self._names = frozenset(self._members())
        for name in sorted(self._names):
            *parents, last = name.split("/")
            if any(is_system_name(piece) for piece in (*parents, last) if piece != "."):
                continue  # tar writes `./name` of everything in `.`
            folder = ""
            for parent in parents:
                self._folders.setdefault(folder, set()).add(f"{folder}{parent}/")
                folder += f"{parent}/"
            self._files.setdefault(folder, []).append(name)

    def folders(self, folder: str = "") -> list[str]:
        return sorted(self._folders.get(folder, ()))

    def files(self, folder: str = "") -> list[str]:
        return self._files.get(folder, [])

    def has(self, name: str) -> bool:
        return name in self._names

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(names) & self._names
        try:
            yield from self._read(wanted)
        except DatasetError:
            raise
        except Exception as error:  # as in `open_tree`
            raise _unreadable(self.path, error) from error

    def stamp(self, names: Iterable[str]) -> str:
        del names  # none of them changes alone
        return hashlib.sha256(_state(self.path).encode()).hexdigest()

    def _members(self) -> Sequence[str]:
        """Return the names of the files."""
        raise NotImplementedError

    def _read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of these files, in any order."""
        raise NotImplementedError


class _ZipTree(_ArchiveTree):
    def _members(self) -> Sequence[str]:
        with zipfile.ZipFile(self.path) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]

    def _read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(self.path) as archive:
            for name in sorted(wanted):
                yield name, archive.read(name)  # checks its CRC-32


class _TarTree(_ArchiveTree):
    """A tar, compressed or not; its files are read in a stream, in their order."""

    def _members(self) -> Sequence[str]:
        with tarfile.open(self.path, "r|*") as archive:
            return [member.name for member in archive if member.isfile()]

    def _read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        left = set(wanted)
        with tarfile.open(self.path, "r|*") as archive:
            for member in archive:
                if member.name in left and member.isfile():
                    content = archive.extractfile(member)
                    assert content is not None  # true of every regular file
                    left.remove(member.name)
                    yield member.name, content.read()
                if not left:
                    return


def _state(path: str | Path) -> str:
    """Return what changes when a file is replaced or written to."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of many thousand files
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _unreadable(path: Path, error: Exception) -> DatasetError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return DatasetError(f"cannot read {printable(str(path))}: {reason}")
