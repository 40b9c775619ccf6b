"""A path that no library reads as anything but a path."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Orbax globs below a folder with the whole path as the pattern, and etils takes these folders at
# the root for buckets; TensorStore turns backslashes into slashes and reads URLs.
_PLAIN = re.compile(r"/(?!/|(?:gs|s3|az|hf)(?:/|$))(?:[\w\-+=@%#~,.() /]|:(?!/|$))*")


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Yield an absolute path of a folder that has neither links nor unusual characters in it.

    It is the folder's own path where that is such a path, and otherwise a link to it among the
    temporary files, which is removed at the end.

    Args:
        folder: the folder; it need not exist.

    Raises:
        OSError: if the link cannot be made.
    """
    path = folder.resolve()
    if _is_plain(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="resnet_jax_") as place:
        temporary = Path(place).resolve()
        if not _is_plain(temporary):
            raise OSError(
                f"a folder of this name is used through a link, but the folder for temporary "
                f"files (={temporary.parent}) has such a name, too; set TMPDIR to another"
            )
        link = temporary / "link"
        link.symlink_to(path)
        yield link


def _is_plain(path: Path) -> bool:
    """Return whether every library takes an absolute path literally."""
    return _PLAIN.fullmatch(str(path)) is not None
