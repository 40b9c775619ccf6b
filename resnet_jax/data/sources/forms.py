"""The forms in which a data set may lie on a disk, and which of them a path is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...storage import printable
from ..base import DatasetError
from ..remote_file import RemoteFile, file_digest
from .hub_parquet import is_parquet
from .layout import Layout
from .trees import FolderTree, Tree, is_file, is_folder, open_tree

_logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """Files that a data set can be read from.

    Attributes:
        tree: the folder or archive.
        layout: how they lie in it.
        names: their names in it.
        published: whether they are verified by published checksums.
    """

    tree: Tree
    layout: Layout
    names: tuple[str, ...]
    published: bool

    @property
    def stamp(self) -> str:
        """A text that changes when the files do; empty for published files."""
        return "" if self.published else self.tree.stamp(self.names)


@dataclass(frozen=True, kw_only=True)
class Forms:
    """The forms of a data set.

    Attributes:
        layouts: the ways in which its files may lie in a folder or an archive; the first that fits
            is taken.
        archives: whole archives that are known by their checksums.
        others: archives of other data sets, to name one that was taken by mistake.
    """

    layouts: tuple[Layout, ...]
    archives: tuple[RemoteFile, ...] = ()
    others: tuple[RemoteFile, ...] = ()

    @property
    def accepted(self) -> str:
        """What would be read, for messages."""
        kinds = f"a folder, .zip or .tar with {'; '.join(layout.what for layout in self.layouts)}"
        return f"{self._names}, or {kinds}" if self.archives else kinds

    @property
    def _names(self) -> str:
        return " or ".join(file.name for file in self.archives)

    def recognise(self, name: str, path: Path) -> Found:
        """Find out by its contents what a path is, whatever it is called.

        Args:
            name: the name of the data set, for messages.
            path: a folder or file.

        Raises:
            DatasetError: if the data set cannot be read from it; the message says from what it can.
        """
        try:
            path.stat()
        except OSError as error:
            raise DatasetError(f"cannot read the archive {path}: {error.strerror}") from error
        damage = ""
        if is_file(path):
            if known(path, self.archives) and (found := self._inside(open_tree(path), whole=True)):
                return found
            if other := known(path, self.others):
                raise DatasetError(
                    f"the archive {path} is {other.name}, of another data set; name {self._names}"
                )
            damage = self._damage(path)
        try:
            tree = FolderTree(path.parent) if is_parquet(path) else open_tree(path)
            found = self._inside(tree)
        except DatasetError as error:
            raise DatasetError(f"{error}{damage}") from error
        if found is not None:
            return found
        reasons = "".join(
            f": {reason}" for reason in ([] if tree is None else self._refusals(tree))
        )
        raise DatasetError(
            f"`archive` (={printable(str(path))}) holds nothing that {name} is read from"
            f"{reasons}{damage}. Name {self.accepted}"
        )

    def local(self, folder: Path) -> Found | None:
        """Find the data set in a data folder: an archive under its published name, or its files.

        Args:
            folder: the folder.

        Raises:
            DatasetError: if something in it cannot be read.
        """
        for file in self.archives:
            path = folder / file.name
            if not is_file(path):
                continue
            if not known(path, (file,)):
                _logger.warning("%s is passed over: it is not the published file", path)
            elif (found := self._inside(open_tree(path), whole=True)) is not None:
                return found
        return self._inside(FolderTree(folder)) if is_folder(folder) else None

    def refusals(self, folder: Path) -> list[str]:
        """Return why files that are almost the data set cannot be read.

        Args:
            folder: a folder in which `local` found nothing.
        """
        return self._refusals(FolderTree(folder)) if is_folder(folder) else []

    def _inside(self, tree: Tree | None, *, whole: bool = False) -> Found | None:
        """Return the files of the first layout that fits; `whole` archives are verified already."""
        if tree is None:
            return None
        for layout in self.layouts:
            if names := layout.find(tree):
                return Found(tree, layout, names, whole or layout.published)
        return None

    def _refusals(self, tree: Tree) -> list[str]:
        reasons = [layout.refusal(tree) for layout in self.layouts]
        return [reason for reason in reasons if reason]

    def _damage(self, path: Path) -> str:
        """Return that a file is none of the published ones, for a message about its contents."""
        if not self.archives:
            return ""
        digests = " and ".join(
            file_digest(path, kind) for kind in dict.fromkeys(f.algorithm for f in self.archives)
        )
        wanted = " nor ".join(f"{file.name} ({file.digest})" for file in self.archives)
        return (
            f". Its checksum is {digests}, so it is neither {wanted}: it is truncated, damaged or "
            "another file"
        )


def known(path: Path, files: Sequence[RemoteFile]) -> RemoteFile | None:
    """Return which of some published files a file is, by its checksum; None if it is none.

    Args:
        path: the file.
        files: the published files.

    Raises:
        DatasetError: if the file cannot be read.
    """
    try:
        size = path.stat().st_size
        candidates = [file for file in files if file.size in (None, size)]
        digests = {file_digest(path, kind) for kind in {file.algorithm for file in candidates}}
    except OSError as error:
        raise DatasetError(f"cannot read the archive {path}: {error.strerror}") from error
    return next((file for file in candidates if file.digest in digests), None)
