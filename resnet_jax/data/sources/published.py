"""A published data set: found or downloaded, read once, and kept as arrays."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ...storage import printable
from ..base import DatasetError, Parts
from ..cache import ArrayCache
from ..data_folder import default_data_dir, writing
from ..download import check_servers, download
from ..http import DownloadError
from ..remote_file import RemoteFile
from .forms import Forms, Found, known
from .trees import is_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Loader of a published data set.

    Attributes:
        sizes: number of training and of test images.
        forms: the forms in which it may lie on the disk.
        downloads: the files that are downloaded, all of them.
    """

    sizes: tuple[int, int]
    forms: Forms
    downloads: tuple[RemoteFile, ...] = ()

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
        files (`<data_dir>/arrays/<name>`); an archive in `data_dir` under its published name; its
        files in `data_dir`; the download. What was read is kept as arrays. Those of files without
        published checksums are kept apart, and used only while the files do not change.

        Args:
            name: the name of the data set, and of the folder of its arrays.
            class_names: every label must be below their number.
            archive: a folder or archive with the data set, known by its contents.
            data_dir: folder for the download and the arrays; `default_data_dir()` if None.

        Raises:
            DatasetError: if the data set cannot be loaded.
        """
        data_dir = data_dir or default_data_dir()
        found = None if archive is None else self.forms.recognise(name, archive)
        cache = ArrayCache(data_dir, name)
        if found is None and (cached := cache.look()) is not None:
            return cached
        found = found or self.forms.local(data_dir)
        if found is None:
            self._check_servers(name, data_dir, cache.damage)  # before anything is written
        else:
            if not found.published:
                cache = ArrayCache(data_dir, name, source=found.tree.path, stamp=found.stamp)
            if (cached := cache.look()) is not None:
                return cached
        with writing(data_dir):
            if (cached := cache.look(warn=True)) is not None:
                return cached
            parts = self._read(found or self._download(name, data_dir), class_names)
            cache.keep(parts)
        return parts

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
        reasons = "".join(f"; {reason}" for reason in refusals if reason)
        return DatasetError(
            f"cannot download {name}: {error}{reasons}. Name a local copy by --archive "
            f"({self.forms.accepted}), name a folder that holds one by --data-dir (now "
            f"{data_dir}), or take the embedded data set by --dataset digits"
        )
