"""CIFAR-10 and CIFAR-100: archive → prepared copy → cached arrays, each step done once."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path

from ...storage import JsonError, read_json
from ..base import DatasetError, Parts
from ..cache import DamagedCacheError, read_cache, write_cache
from ..data_folder import default_data_dir, staged, writing
from ..download import DownloadError, download, open_url
from .archives import Archive, identify, read_archive

SERVER = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True)
class Cifar:
    """Loader of a CIFAR data set.

    Attributes:
        archives: the forms in which it is distributed; the first one is downloaded.
        others: archives of other data sets, to name one that was taken by mistake.
        server: address of the folder with the archives, ending in a slash.
    """

    archives: tuple[Archive, ...]
    others: tuple[Archive, ...] = ()
    server: str = SERVER

    def __call__(
        self,
        name: str,
        class_names: tuple[str, ...],
        *,
        archive: Path | None,
        data_dir: Path | None,
    ) -> Parts:
        """Load the images in source order.

        The first of these that exists is used: the cached arrays (`<data_dir>/arrays/<name>`), a
        prepared TFDS copy (`<data_dir>/<name>/<version>`), the archive given, an archive that lies
        in `data_dir` under its published name, the download. In all they take about 550 MB; the
        archive and the copy are kept to make the arrays anew, and may be removed.

        Args:
            name: the name of the data set, and of its folders.
            class_names: every label must be below their number.
            archive: one of `archives`. It is verified even if it is no longer needed.
            data_dir: folder for the copy and the arrays; `default_data_dir()` if None.

        Raises:
            DatasetError: if the data set cannot be loaded.
        """
        data_dir = data_dir or default_data_dir()
        if archive is not None:
            identify(archive, self.archives, self.others)
        folder = data_dir / "arrays" / name
        try:
            if (cached := read_cache(folder)) is not None:
                return cached
        except DamagedCacheError:
            pass  # perhaps being replaced right now: read again when nobody else writes
        if archive is None and not (_prepared_copy(name, data_dir) or self._local(data_dir)):
            self._check_server(name, data_dir)  # before anything is written
        with writing(data_dir):
            try:
                if (cached := read_cache(folder)) is not None:
                    return cached
            except DamagedCacheError as error:
                warnings.warn(
                    f"the cached arrays in {folder} are damaged ({error}); they are made anew",
                    stacklevel=3,
                )
            parts = self._from_prepared(name, class_names, archive, data_dir)
            write_cache(data_dir, folder, parts)
        return parts

    def _from_prepared(
        self, name: str, class_names: tuple[str, ...], archive: Path | None, data_dir: Path
    ) -> Parts:
        """Read the prepared copy, which is made first if it is missing."""
        from . import store  # imports TFDS, which later starts do not need

        prepared = _prepared_copy(name, data_dir)
        if prepared is None:
            source = archive or self._local(data_dir) or self._download(name, data_dir)
            parts = read_archive(source, self.archives, self.others, classes=len(class_names))
            prepared = data_dir / name / store.STORE_VERSION
            with staged(data_dir, prepared) as partial:
                store.prepare(partial, name, class_names, parts)
        return store.read_prepared(prepared, name)

    def _local(self, data_dir: Path) -> Path | None:
        """Find an archive that lies in the data folder under its published name."""
        paths = (data_dir / archive.filename for archive in self.archives)
        return next((path for path in paths if path.is_file()), None)

    @property
    def _url(self) -> str:
        return self.server + self.archives[0].filename

    def _check_server(self, name: str, data_dir: Path) -> None:
        try:
            open_url(self._url).close()
        except DownloadError as error:
            raise self._download_failed(name, data_dir, error) from error

    def _download(self, name: str, data_dir: Path) -> Path:
        archive = self.archives[0]
        target = data_dir / archive.filename
        try:
            with staged(data_dir, target) as partial:
                download(self._url, partial, md5=archive.md5)
        except DownloadError as error:
            raise self._download_failed(name, data_dir, error) from error
        return target

    def _download_failed(self, name: str, data_dir: Path, error: DownloadError) -> DatasetError:
        files = " or ".join(archive.filename for archive in self.archives)
        return DatasetError(
            f"cannot download {name} from {self._url}: {error}. Name a local copy of {files} by "
            f"--archive, name a folder that already holds it or a prepared copy by --data-dir "
            f"(now {data_dir}), or take the embedded data set by --dataset digits"
        )


def _prepared_copy(name: str, data_dir: Path) -> Path | None:
    """Find a folder `<data_dir>/<name>/<version>` of array_record files: ours, or TFDS's own."""
    for info in sorted((data_dir / name).glob("*/dataset_info.json")):
        with contextlib.suppress(JsonError):
            if read_json(info).get("fileFormat") == "array_record":
                return info.parent
    return None
