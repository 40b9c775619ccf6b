"""The decoded images of folders, kept in the data folder and mapped into memory by later starts."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...storage import one_line, printable
from ..array_files import (
    MANIFEST,
    DamagedCacheError,
    StoredArrays,
    damage_explained,
    read_arrays,
    write_arrays,
)
from ..base import DatasetError, array_digest
from ..data_folder import writing

LIMIT = 20_000_000_000
"""Most bytes that the decoded images of all folders may take on the disk."""
_NAMES = (
    *(f"{part}_{kind}" for part in ("train", "valid", "test") for kind in ("images", "labels")),
    "statistics",
)
_AT_ONCE = 2
_KEY = re.compile("[0-9a-f]{32}")


class Decoded(NamedTuple):
    """The images of a folder.

    Attributes:
        arrays: `train_images`, `train_labels` and those of `valid` and `test`, see `Arrays`, and
            `statistics`: float64 `[2, channels]`, the mean and deviation of the training images.
        digests: the digest of each.
        note: where they are from, or are kept, in one line.
    """

    arrays: Mapping[str, np.ndarray]
    digests: Mapping[str, str]
    note: str = ""

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Decoded:
        """Return arrays with their digests.

        Args:
            arrays: the arrays by name.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return cls(
                arrays, dict(zip(arrays, pool.map(array_digest, arrays.values()), strict=True))
            )


def keep_decoded(
    data_dir: Path, key: str, decode: Callable[[], Decoded], *, limit: int = LIMIT
) -> Decoded:
    """Return the images that are kept under a key; decode and keep them if there are none.

    What is kept is verified whenever it is taken, and mapped into memory, so that several processes
    share it. Of several that start together one decodes and the others wait. Where the images
    cannot be kept, they are decoded all the same, and the note says why. If all that is kept would
    exceed the limit, what was not used for the longest time is removed.

    Args:
        data_dir: the data folder.
        key: hexadecimal digits that change with the files and with anything that changes pixels.
        decode: decodes the images.
        limit: most bytes to keep.

    Warns:
        UserWarning: if what is kept is damaged; it is then made anew.
    """
    folder = data_dir / "images" / key[:32]
    if (found := _look(folder, key)) is not None:
        return found
    with ExitStack() as stack:
        try:
            stack.enter_context(writing(data_dir))
        except DatasetError as error:
            return decode()._replace(note=_not_kept(error.__cause__ or error))
        if (found := _look(folder, key, warn=True)) is not None:
            return found
        decoded = decode()
        return decoded._replace(note=_keep(data_dir, folder, key, decoded, limit))


def _look(folder: Path, key: str, *, warn: bool = False) -> Decoded | None:
    """Return the images in a folder; None if there are none, or damaged ones."""
    try:
        with damage_explained():
            stored = read_arrays(folder, _NAMES, stamp=key, mapped=True)
            if stored is None:
                return None
            return _verified(stored, folder)
    except DamagedCacheError as error:
        # Without the lock they may only be being replaced.
        if warn:
            warnings.warn(
                f"the decoded images in {printable(str(folder))} are damaged ({error}); they are "
                "made anew",
                stacklevel=4,
            )
        return None


def _verified(stored: StoredArrays, folder: Path) -> Decoded:
    decoded = Decoded.of(stored.arrays)
    stored.verify(decoded.digests)
    with suppress(OSError):  # others may own the folder
        os.utime(folder / MANIFEST)
    return decoded._replace(note=f"read the images that are kept decoded in {_shown(folder)}")


def _keep(data_dir: Path, folder: Path, key: str, decoded: Decoded, limit: int) -> str:
    """Write the images, and return a line on that."""
    size = sum(array.nbytes for array in decoded.arrays.values())
    if size > limit:
        return (
            f"the decoded images are not kept: they take {size / 1e9:.1f} GB, and at most "
            f"{limit / 1e9:.1f} GB are kept"
        )
    try:
        _make_room(folder.parent, limit - size)
        write_arrays(data_dir, folder, decoded.arrays, decoded.digests, stamp=key)
    except OSError as error:
        return _not_kept(error)
    return (
        f"kept the decoded images ({size / 1e6:,.1f} MB) in {_shown(folder)}; while the files do "
        "not change, later starts read none of them"
    )


def _make_room(place: Path, limit: int) -> None:
    """Remove what was not used for the longest time, until the rest is within the limit."""
    kept = sorted(_sizes(place), reverse=True)
    total = 0
    for _, size, folder in kept:
        total += size
        if total > limit:
            shutil.rmtree(folder, ignore_errors=True)


def _sizes(place: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield when each folder was used last, how many bytes it has, and the folder.

    Only those that are named by a key: others may keep images in a folder of this name.
    """
    folders = place.iterdir() if place.is_dir() else ()
    for folder in filter(lambda path: _KEY.fullmatch(path.name), folders):
        states = {path.name: path.stat() for path in folder.iterdir()}
        used = states[MANIFEST].st_mtime_ns if MANIFEST in states else 0
        yield used, sum(state.st_size for state in states.values()), folder


def _not_kept(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return (
        f"the decoded images are not kept: {reason}; name a folder with room by the environment "
        "variable RESNET_JAX_DATA"
    )


def _shown(folder: Path) -> str:
    return printable(str(folder))
