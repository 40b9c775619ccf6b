"""CIFAR-10 and CIFAR-100: archive → prepared copy → cached arrays, each step done once."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path

from ..base import Arrays, DatasetError
from ..cache import DamagedCacheError, read_cache, write_cache
from ..download import DownloadError, download, open_url
from ..facts import FACTS
from ..staging import staged, writing
from .archives import ARCHIVES, identify, read_archive

SERVER = "https://www.cs.toronto.edu/~kriz/"

# Training images, test images, and the digest of each array.
_Loaded = tuple[Arrays, Arrays, dict[str, str]]


def load_cifar(name: str, archive: Path | None, data_dir: Path) -> _Loaded:
    """Loads a CIFAR data set in source order.

    The first of these that is there is used: the cached arrays (`<data_dir>/arrays/<name>`), a
    prepared TFDS copy (`<data_dir>/<name>/<version>`), the archive given, an archive that lies in
    `data_dir` under its published name, the download. In all they take about 550 MB; the archive
    and the copy are kept to make the arrays anew, and may be removed.

    Args:
        name: `"cifar10"` or `"cifar100"`.
        archive: one of the data set's archives. It is verified even if it is no longer needed.
        data_dir: folder for the copy and the arrays.

    Returns:
        `(train, test, digests)`.

    Raises:
        DatasetError: if the data set cannot be had.
    """
    if archive is not None:
        identify(archive, name)
    folder = data_dir / "arrays" / name
    try:
        if (loaded := read_cache(folder)) is not None:
            return loaded
    except DamagedCacheError:
        pass  # perhaps replaced at this moment: looked at again when no one else writes
    if archive is None and not (_prepared_copy(name, data_dir) or _local_archive(name, data_dir)):
        _check_server(name, data_dir)  # before anything is written
    with writing(data_dir):
        try:
            if (loaded := read_cache(folder)) is not None:
                return loaded
        except DamagedCacheError as error:
            warnings.warn(
                f"The cached arrays in {folder} are damaged ({error}); they are made anew.",
                stacklevel=3,
            )
        train, test = _from_prepared(name, archive, data_dir)
        return train, test, write_cache(data_dir, folder, train, test)


def _from_prepared(name: str, archive: Path | None, data_dir: Path) -> tuple[Arrays, Arrays]:
    """Reads the prepared copy, which is made first if it is missing."""
    from . import store  # imports TFDS, which later starts do not need

    prepared = _prepared_copy(name, data_dir)
    if prepared is None:
        source = archive or _local_archive(name, data_dir) or _download(name, data_dir)
        train, test = read_archive(source, name, classes=len(FACTS[name].class_names))
        prepared = data_dir / name / store.STORE_VERSION
        with staged(data_dir, prepared) as partial:
            store.prepare(partial, name, train, test)
    return store.read_prepared(prepared, name)


def _prepared_copy(name: str, data_dir: Path) -> Path | None:
    """A folder `<data_dir>/<name>/<version>` of array_record files: ours, or TFDS's own."""
    for info in sorted((data_dir / name).glob("*/dataset_info.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(info.read_text()).get("fileFormat") == "array_record":
                return info.parent
    return None


def _local_archive(name: str, data_dir: Path) -> Path | None:
    """An archive that lies in the data folder under its published name."""
    paths = (data_dir / archive.filename for archive in ARCHIVES[name])
    return next((path for path in paths if path.is_file()), None)


def _check_server(name: str, data_dir: Path) -> None:
    url = SERVER + ARCHIVES[name][0].filename
    try:
        open_url(url).close()
    except DownloadError as error:
        raise _download_failed(name, data_dir, url, error) from error


def _download(name: str, data_dir: Path) -> Path:
    archive = ARCHIVES[name][0]
    target = data_dir / archive.filename
    url = SERVER + archive.filename
    try:
        with staged(data_dir, target) as partial:
            download(url, partial, md5=archive.md5)
    except DownloadError as error:
        raise _download_failed(name, data_dir, url, error) from error
    return target


def _download_failed(name: str, data_dir: Path, url: str, error: DownloadError) -> DatasetError:
    files = " or ".join(archive.filename for archive in ARCHIVES[name])
    return DatasetError(
        f"Cannot download {name} from {url}: {error}. Three ways on: name a local copy of {files} "
        f"by --archive; name a folder that already holds it or a prepared copy by --data-dir "
        f"(now {data_dir}); or take the embedded data set by --dataset digits."
    )
