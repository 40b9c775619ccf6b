"""Arrays in a folder, as `.npy` files with a manifest of their digests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..storage import one_line, read_json, write_json
from .data_folder import staged

_FORMAT = 1
MANIFEST = "manifest.json"
"""Name of the file with the digests."""


class DamagedCacheError(Exception):
    """A cache is there but differs from what was written; the message says where."""


class StoredArrays(NamedTuple):
    """Arrays as they were found, not verified.

    Attributes:
        arrays: the arrays by name.
        digests: the digest that each had when it was written, by name.
    """

    arrays: dict[str, np.ndarray]
    digests: Mapping[str, str]

    def verify(self, found: Mapping[str, str]) -> None:
        """Compare the arrays with what was written.

        Args:
            found: the digest of each array as it is now; see `array_digest`.

        Raises:
            DamagedCacheError: if one differs.
        """
        for name, digest in found.items():
            if self.digests[name] != digest:
                raise DamagedCacheError(f"the checksum of {name}.npy is wrong")


def write_arrays(
    data_dir: Path,
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    digests: Mapping[str, str],
    *,
    stamp: str = "",
) -> None:
    """Write arrays and a manifest of their digests, all or nothing; use it inside `writing`.

    Args:
        data_dir: the data folder.
        folder: folder for these arrays, inside `data_dir`; replaced if it exists.
        arrays: the arrays by name.
        digests: the digest of each, by name.
        stamp: a text that changes when the files that they are from do.

    Raises:
        OSError: if the files cannot be written.
    """
    manifest = {"format": _FORMAT, "sha256": dict(digests), **({"stamp": stamp} if stamp else {})}
    with staged(data_dir, folder, replace=True) as partial:
        partial.mkdir()
        for name, array in arrays.items():
            _save(partial / f"{name}.npy", array)
        write_json(partial / MANIFEST, manifest)


def _save(path: Path, array: np.ndarray) -> None:
    """Write an `.npy` file; a full disk is an error with its number, unlike `numpy.save`'s."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def read_arrays(
    folder: Path, names: Iterable[str], *, stamp: str = "", mapped: bool = False
) -> StoredArrays | None:
    """Read what `write_arrays` wrote, without verifying it; use it inside `damage_explained`.

    Args:
        folder: the folder with the arrays.
        names: the names of the arrays.
        stamp: what `write_arrays` was given.
        mapped: map the files into memory, read-only, instead of copying them: the system reads
            their pages when they are used, shares them with other processes, and may give up
            their memory at any time.

    Returns:
        The arrays, or None if there is no such folder or its stamp differs.

    Raises:
        DamagedCacheError: if the manifest is of another format.
        Exception: if a file is missing or unreadable; `damage_explained` names the kinds.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - `Path.is_dir` raises for some names
        return None
    manifest = read_json(folder / MANIFEST)
    if manifest["format"] != _FORMAT:
        raise DamagedCacheError(f"its format is {manifest['format']}, not {_FORMAT}")
    if manifest.get("stamp", "") != stamp:
        return None
    digests = manifest["sha256"]
    mode: Literal["r"] | None = "r" if mapped else None
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False).view(np.ndarray)
        for name in names
    }
    return StoredArrays(arrays, {name: digests[name] for name in arrays})


@contextmanager
def damage_explained() -> Iterator[None]:
    """Turn the errors of reading arrays, and of using damaged ones, into `DamagedCacheError`.

    Raises:
        DamagedCacheError: if the body raises one, or a `KeyError`, `OSError`, `ValueError`,
            `TypeError` or `EOFError`.
    """
    try:
        yield
    except KeyError as error:
        raise DamagedCacheError(f"{MANIFEST} lacks {error}") from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DamagedCacheError(one_line(error)) from error
