"""A published data set: found or downloaded, read once, and kept as arrays."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...storage import printable
from ..base import DatasetError, Parts
from ..cache import ArrayCache
from ..data_folder import default_data_dir, staged, writing
from ..download import check_servers, download
from ..http import DownloadError
from ..remote_file import RemoteFile
from .forms import Forms, Found, known
from .layout import Layout
from .tfds import COPY_VERSION, Tfds, tfds_data_dir
from .trees import FolderTree, is_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Loader of a published data set.

    Attributes:
        sizes: number of training and of test images.
        forms: the forms in which it may lie on the disk.
        downloads: the files that are downloaded, all of them.
        copy: the TFDS data set that is made of the published files and read in their place; None
            reads the files themselves.
    """

    sizes: tuple[int, int]
    forms: Forms
    downloads: tuple[RemoteFile, ...] = ()
    copy: Tfds | None = None

    def __call__(
        self,
        name: str,
        class_names: tuple[str, ...],
        *,
        archive: Path | None,
        data_dir: Path | None,
    ) -> Parts:
        """Load the images in the order of their source.

        The first of these that exists is used: what `archive` names; the arrays of the published
        files (`<data_dir>/arrays/<name>`); their copy as a TFDS data set
        (`<data_dir>/<name>/1.0.0`); an archive in `data_dir` under its published name; its files in
        `data_dir`; those in TFDS's own folder; the download. Published files are copied, if the
        data set has such a copy, and read from it through TFDS; where TFDS cannot be imported, they
        are read themselves. What was read is kept as arrays. Those of files without published
        checksums are kept apart, and used only while the files do not change.

        Args:
            name: the name of the data set, and of the folder of its arrays.
            class_names: every label must be below their number.
            archive: a folder or archive with the data set, known by its contents.
            data_dir: folder for the download, the copy and the arrays; `default_data_dir()` if
                None.

        Raises:
            DatasetError: if the data set cannot be loaded.
        """
        data_dir = data_dir or default_data_dir()
        published = ArrayCache(data_dir, name)
        found = None if archive is None else self.forms.recognise(name, archive)
        if found is None and (cached := published.look()) is not None:
            return cached
        unreadable: set[Layout] = set()
        for candidate in self._local(name, data_dir) if found is None else [found]:
            cache = published
            if not candidate.published:
                tree = candidate.tree
                cache = ArrayCache(data_dir, name, source=tree.path, stamp=candidate.stamp)
            if (cached := cache.look()) is not None:
                return cached
            if candidate.layout in unreadable:
                continue
            if archive is not None or (problem := candidate.layout.problem) is None:
                found = candidate
                break
            unreadable.add(candidate.layout)
            place = printable(str(candidate.tree.path))
            _logger.warning("%s is passed over: %s", place, problem)
        if found is None:
            cache = published
            self._check_servers(name, data_dir, cache.damage)  # before anything is written
        with writing(data_dir):
            if (cached := cache.look(warn=True)) is not None:
                return cached
            found = found or self._download(name, data_dir)
            if found.published and self.copy is not None:
                parts = self._through_copy(self.copy, name, found, class_names, data_dir)
            else:
                parts = self._read(found, class_names)
            cache.keep(parts)
        return parts

    def _local(self, name: str, data_dir: Path) -> Iterator[Found]:
        """Yield what the data set may be read from without a download, the best first."""
        if self.copy is not None:
            tree = FolderTree(data_dir / name / COPY_VERSION)
            if names := self.copy.find(tree):
                yield Found(tree, self.copy, names, published=True)
        if found := self.forms.local(data_dir):
            yield found
        if self.copy is not None and (folder := tfds_data_dir()) is not None:
            tree = FolderTree(folder)
            if names := self.copy.find(tree):
                yield Found(tree, self.copy, names, published=False)

    def _through_copy(
        self,
        copy: Tfds,
        name: str,
        found: Found,
        class_names: tuple[str, ...],
        data_dir: Path,
    ) -> Parts:
        """Read published files from their TFDS copy, which is made first if it is missing."""
        folder = data_dir / name / COPY_VERSION
        tree = FolderTree(folder)
        names = copy.find(tree)
        problem = copy.problem
        if problem is None and names is None and os.path.lexists(folder):
            problem = f"{printable(str(folder))} holds something else"
        if problem is not None:
            _logger.warning("%s is read without a copy for TFDS: %s", name, problem)
            return self._read(found, class_names)
        if names is None:
            from .tfds_copy import prepare  # imports TFDS

            with staged(data_dir, folder) as partial:
                prepare(partial, name, class_names, self._read(found, class_names))
            names = copy.find(tree) or ()
        return self._read(Found(tree, copy, names, published=True), class_names)

    def _read(self, found: Found, class_names: tuple[str, ...]) -> Parts:
        place = printable(str(found.tree.path))
        if not found.published:
            _logger.warning(
                "%s has no published checksum: nothing says that its images are the original ones",
                place,
            )
        parts = found.layout.read(found.tree, found.names, class_names)
        sizes = (len(parts.train), len(parts.test))
        if sizes != self.sizes:
            raise DatasetError(
                f"{place} holds {sizes[0]:,} training and {sizes[1]:,} test images; the data set "
                f"has {self.sizes[0]:,} and {self.sizes[1]:,}"
            )
        return parts

    def _check_servers(self, name: str, data_dir: Path, damage: str) -> None:
        for file in self.downloads:
            if not is_file(data_dir / file.name):
                try:
                    check_servers(file)
                except DownloadError as error:
                    raise self._failed(name, data_dir, error, damage) from error

    def _download(self, name: str, data_dir: Path) -> Found:
        for file in self.downloads:
            target = data_dir / file.name
            if is_file(target) and known(target, (file,)):
                continue
            try:
                download(file, target)
            except DownloadError as error:
                raise self._failed(name, data_dir, error) from error
        found = self.forms.local(data_dir)
        if found is None:
            raise DatasetError(f"the download of {name} is in {data_dir}, but cannot be read")
        return found

    def _failed(
        self, name: str, data_dir: Path, error: DownloadError, damage: str = ""
    ) -> DatasetError:
        refusals = [damage, *self.forms.refusals(data_dir)]
        if self.copy is not None and (folder := tfds_data_dir()) is not None:
            refusals.append(self.copy.refusal(FolderTree(folder)) or "")
        reasons = "".join(f"; {reason}" for reason in refusals if reason)
        return DatasetError(
            f"cannot download {name}: {error}{reasons}. Name a local copy by --archive "
            f"({self.forms.accepted}), name a folder that holds one by --data-dir (now "
            f"{data_dir}), or take the embedded data set by --dataset digits"
        )
