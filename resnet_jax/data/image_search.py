"""Find the image files in a folder, and name everything that is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from ..storage import printable_name
from .image_formats import SUFFIXES
from .progress import Advance, late_progress

# What file servers, systems and tools leave beside the files of their users.
_SYSTEM_NAMES = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
        "thumbs.db",
    }
)
HIDDEN = "hidden or system files"
BROKEN = "broken links"
REPEATED = "links to folders that are found already"
UNREADABLE = "unreadable folders"
_SPECIAL = "special files"
_NO_SUFFIX = "files without a suffix"
_SHOWN = 3
_SHOWN_KINDS = 8


class FoundFiles(NamedTuple):
    """The image files of a folder, and what else was there.

    Attributes:
        paths: the image files, sorted; as texts, which take a quarter of the memory of `Path`
            objects, and a third of the time.
        passed_over: as in `FoundImages`.
    """

    paths: list[str]
    passed_over: Mapping[str, list[Path]]


class FoundImages(NamedTuple):
    """The image files of a folder, and what else was there.

    Attributes:
        paths: the image files, sorted.
        passed_over: everything that is not among them, by its kind, such as `.heic files` or
            `broken links`; a hidden or unreadable folder counts once.
    """

    paths: list[Path]
    passed_over: Mapping[str, list[Path]]

    @property
    def summary(self) -> str:
        """What was passed over in one line, with a few names of each kind; empty if nothing."""
        return summarise(self.passed_over)


def find_images(folder: Path) -> FoundImages:
    """Find the image files in a folder and the folders below it.

    Links to files and folders are followed. Each folder is searched once, so that links cannot
    lead in circles; a link to a folder that holds `folder` itself is passed over. Hidden files and
    folders, and what file servers and systems leave (`@eaDir`, `__MACOSX`, `Thumbs.db`, …), are
    passed over.

    Args:
        folder: where to look; a file counts by its suffix (`SUFFIXES`).

    Returns:
        The files, and what was passed over. An unreadable folder is passed over, `folder` included.
    """
    found = find_files(folder)
    return FoundImages(list(map(Path, found.paths)), found.passed_over)


def find_files(folder: Path, advance: Advance | None = None) -> FoundFiles:
    """Find the image files in a folder and the folders below it, as `find_images` does.

    Args:
        folder: where to look.
        advance: to be called with the number of files and folders that were looked at since its
            last call; None shows a bar of its own if the search takes long.
    """
    with nullcontext(advance) if advance else late_progress(f"Searching {folder}") as count:
        search = _Search(count)
        search.walk(folder)
    return FoundFiles(
        # The order of `Path` objects: folder by folder.
        sorted(search.paths, key=lambda path: os.path.normcase(path).split(os.sep)),  # noqa: PTH206
        {kind: sorted(paths) for kind, paths in sorted(search.passed_over.items())},
    )


def summarise(passed_over: Mapping[str, Iterable[Path]]) -> str:
    """Return what was passed over in one line: counts and a few names of each kind.

    Args:
        passed_over: paths by their kind, as in `FoundImages`.
    """
    listed = {kind: list(paths) for kind, paths in passed_over.items()}
    counts = Counter({kind: len(paths) for kind, paths in listed.items()})
    parts = []
    for kind, count in counts.most_common(_SHOWN_KINDS):
        names = ", ".join(printable_name(path.name) for path in listed[kind][:_SHOWN])
        parts.append(f"{kind}: {count:,} ({names}{', …' if count > _SHOWN else ''})")
    rest = len(counts) - len(parts)
    if rest > 0:
        total = sum(counts.values()) - sum(n for _, n in counts.most_common(_SHOWN_KINDS))
        parts.append(f"{rest} other kinds: {total:,}")
    return f"passed over {'; '.join(parts)}" if parts else ""


def is_system_name(name: str) -> bool:
    """Return whether a file or folder is hidden or left by a system or file server.

    Args:
        name: its name, without folders.
    """
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


class _Search:
    """One search: what was found so far.

    Args:
        advance: told of every folder how many files and folders it holds.

    Attributes:
        paths: the image files.
        passed_over: the other files and folders, by kind.
    """

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self.paths: list[str] = []
        self.passed_over: dict[str, list[Path]] = {}
        self._searched: set[Path] = set()

    def walk(self, folder: Path) -> None:
        """Search a folder, then the linked folders in it that are not part of it anyway."""
        starts: list[Path] = []
        linked = [folder]
        while linked:
            start = linked.pop(0)
            real = Path(os.path.realpath(start))
            above = any(other.is_relative_to(real) for other in starts)
            if above or real in self._searched:
                self._pass_over(REPEATED, start)
                continue
            starts.append(real)
            linked += self._walk_without_links(start, real)

    def _walk_without_links(self, start: Path, real: Path) -> list[Path]:
        """Search a folder and those below it; return the linked folders."""
        linked: list[Path] = []
        folders = [(start, real)]
        while folders:
            folder, real = folders.pop()
            if real in self._searched:
                self._pass_over(REPEATED, folder)
                continue
            self._searched.add(real)
            try:
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                self._pass_over(UNREADABLE, folder)
                continue
            self._advance(len(found))
            # `Path` joins with care, and slowly; a name is appended to what it makes of the folder.
            start_of_paths = str(folder / "_")[:-1]
            for entry in found:
                name = entry.name
                if is_system_name(name):
                    self._pass_over(HIDDEN, folder / name)
                elif _is(entry, "is_dir"):
                    if entry.is_symlink():
                        linked.append(folder / name)
                    else:
                        folders.append((folder / name, real / name))
                elif not _is(entry, "is_file"):
                    self._pass_over(BROKEN if entry.is_symlink() else _SPECIAL, folder / name)
                elif _suffix(name) in SUFFIXES:
                    self.paths.append(start_of_paths + name)
                else:
                    self._pass_over(_kind(name), folder / name)
        return sorted(linked)

    def _pass_over(self, kind: str, path: Path) -> None:
        self.passed_over.setdefault(kind, []).append(path)


def _suffix(name: str) -> str:
    """Return the suffix of a file's name in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - of many thousand files


def _kind(name: str) -> str:
    """Return what a file is called that is no image by its name."""
    suffix = Path(name).suffix.lower()
    return f"{printable_name(suffix)} files" if suffix else _NO_SUFFIX


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    """Return whether an entry is a file or a folder, through links; no if it cannot be told."""
    try:
        return bool(getattr(entry, kind)())
    except OSError:
        return False
