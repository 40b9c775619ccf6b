"""What every layout of a data set's files has in common."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence

from ...storage import printable
from ..base import DatasetError, Parts
from ..progress import late_progress
from ..remote_file import bytes_digest
from .trees import Tree


class Layout(abc.ABC):
    """A way in which the files of a data set lie in a folder or an archive."""

    @property
    @abc.abstractmethod
    def what(self) -> str:
        """The files, for messages."""

    @property
    def published(self) -> bool:
        """Whether `read` compares every file with its published checksum."""
        return False

    @property
    def problem(self) -> str | None:
        """Why nothing that lies in this way can be read here, such as a missing package, or None.

        It may take a second to tell.
        """
        return None

    @abc.abstractmethod
    def find(self, tree: Tree) -> tuple[str, ...] | None:
        """Return the names of the files to read, or None if they do not lie in this way.

        Args:
            tree: the folder or archive. The files may lie in it, or in one of its folders.
        """

    def refusal(self, tree: Tree) -> str | None:
        """Return why files that almost lie in this way cannot be read, and what would help.

        Args:
            tree: a folder or archive for which `find` returned None.
        """
        del tree
        return None

    @abc.abstractmethod
    def read(self, tree: Tree, names: Sequence[str], class_names: tuple[str, ...]) -> Parts:
        """Read the images, in the order of the source.

        Args:
            tree: the folder or archive.
            names: what `find` returned.
            class_names: names in label order; every label must be below their number.

        Raises:
            DatasetError: if a file is missing, damaged, or not what it should be.
        """


def places(tree: Tree) -> Iterator[str]:
    """Yield the folders in which a data set may lie: the tree itself, and those directly in it.

    A folder that is all there is counts as the tree.

    Args:
        tree: the folder or archive.
    """
    top = ""
    yield top
    while len(folders := tree.folders(top)) == 1 and not tree.files(top):
        (top,) = folders
        yield top
    yield from folders


def where(tree: Tree, name: str) -> str:
    """Return a file's name and its tree, for messages.

    Args:
        tree: the folder or archive.
        name: name of the file in it.
    """
    return f"{printable(name)} in {printable(str(tree.path))}"


def read_published(tree: Tree, digests: Mapping[str, str | None]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the contents of every file, in the order of the tree.

    Args:
        tree: the folder or archive.
        digests: the published checksum of each file by its name, or None if none is known.

    Raises:
        DatasetError: if a file is not the published one, or, after the others, if one is missing.
    """
    missing = dict.fromkeys(digests)
    with late_progress(f"Reading {tree.path}") as advance:
        for name, data in tree.read(list(digests)):
            _check_digest(tree, name, data, digests[name])
            missing.pop(name, None)
            yield name, data
            advance(1)
    if missing:
        raise DatasetError(f"{tree.path} lacks {', '.join(missing)}")


def _check_digest(tree: Tree, name: str, data: bytes, digest: str | None) -> None:
    """Raise a `DatasetError` if a file is not the published one."""
    if digest is None:
        return
    found = bytes_digest(data, digest.partition(":")[0])
    if found != digest:
        raise DatasetError(
            f"{where(tree, name)} has the checksum {found}, not the published {digest}: it is "
            "truncated, damaged or another file"
        )
