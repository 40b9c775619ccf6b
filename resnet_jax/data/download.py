"""Download a published file: resumed after a break, from several servers, and verified."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..storage import DISTRIBUTION, JsonError, read_json, write_json
from .http import OPEN_SECONDS, SILENCE_SECONDS, DownloadError, open_url, read_chunk
from .progress import byte_progress
from .remote_file import RemoteFile, file_digest

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt at a server that gave nothing new; then it is left."""

_LONGEST_PAUSE = 60.0
_CHUNK = 1 << 18
_logger = logging.getLogger(__name__)


def check_servers(file: RemoteFile) -> None:
    """Raise if no server answers for a file; nothing is written.

    Args:
        file: the file.

    Raises:
        DownloadError: with the reason of each server.
    """
    reasons = []
    for url in file.urls:
        try:
            open_url(url).close()
        except DownloadError as error:
            reasons.append(f"{url}: {error}")
        else:
            return
    raise DownloadError("; ".join(reasons))


def download(
    file: RemoteFile,
    target: Path,
    *,
    pauses: Sequence[float] = PAUSES,
    open_seconds: float = OPEN_SECONDS,
    silence_seconds: float = SILENCE_SECONDS,
) -> None:
    """Download a file and verify it.

    What has arrived is kept in `<target>.part`, and an attempt goes on from there, be it in this
    process or the next. After a break the same server is asked again, a little later each time;
    the next one follows when that gives nothing new, or refuses, or sends another file. `target`
    appears when the checksum is right, and never before.

    Args:
        file: the file.
        target: path of the verified file; its folder must exist.
        pauses: seconds before each further attempt at a server that gave nothing new.
        open_seconds: longest wait for a server's answer.
        silence_seconds: longest silence of a server.

    Raises:
        DownloadError: if no server gives the file; the message has the reason of each.
        OSError: if the file cannot be written.
    """
    partial = _Partial(target)
    reasons = []
    for url in file.urls:
        try:
            _from_server(file, url, partial, pauses, open_seconds, silence_seconds)
        except DownloadError as error:
            _logger.warning("Could not download %s from %s: %s", file.name, url, error)
            reasons.append(f"{url}: {error}")
        else:
            partial.path.replace(target)
            partial.discard()
            return
    kept = partial.size
    more = f"; the {_megabytes(kept)} that arrived are kept for the next attempt" if kept else ""
    raise DownloadError("; ".join(reasons) + more)


class _Partial:
    """What has arrived of a file, and which version of the file it belongs to.

    Attributes:
        path: the file with the bytes.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._about = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers that ask for the rest.

        The rest is only wanted of the version that the bytes are from, where this server named
        one; otherwise the checksum decides.
        """
        headers = {"Accept-Encoding": "identity", "User-Agent": DISTRIBUTION}
        if size := self.size:
            headers["Range"] = f"bytes={size}-"
            try:
                about = read_json(self._about)
            except (JsonError, OSError):
                about = {}
            if about.get("url") == url and about.get("version"):
                headers["If-Range"] = about["version"]
        return headers

    def begin(self, url: str, response: Any) -> None:
        """Empty the file, and note what it will hold."""
        self.path.write_bytes(b"")
        tag = response.headers.get("ETag", "")
        strong = "" if tag.startswith("W/") else tag
        version = strong or response.headers.get("Last-Modified", "")
        write_json(self._about, {"url": url, "version": version})

    def discard(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


def _from_server(
    file: RemoteFile,
    url: str,
    partial: _Partial,
    pauses: Sequence[float],
    open_seconds: float,
    silence_seconds: float,
) -> None:
    """Download from one server, with further attempts; leave the verified bytes in `partial`."""
    waits = list(pauses)
    while True:
        before = partial.size
        try:
            _attempt(file, url, partial, open_seconds, silence_seconds)
            digest = file_digest(partial.path, file.algorithm)
            if digest == file.digest:
                return
            received = partial.size
            partial.discard()
            if not before:
                raise DownloadError(
                    f"{received} bytes arrived with the checksum {digest}, not {file.digest}",
                    status=200,
                )
            _logger.warning("What arrived of %s does not fit together; it starts anew", file.name)
        except DownloadError as error:
            if partial.size > before:
                waits = list(pauses)  # it gets on, if slowly
            if not (error.may_pass and waits):
                raise
            pause = max(waits.pop(0), _asked_for(error))
            _logger.warning(
                "%s: %s; %s arrived, going on in %g seconds",
                urlsplit(url).netloc,
                error,
                _megabytes(partial.size),
                pause,
            )
            time.sleep(pause)


def _attempt(
    file: RemoteFile, url: str, partial: _Partial, open_seconds: float, silence_seconds: float
) -> None:
    """Ask once for what is missing, and append it."""
    try:
        response = open_url(
            url,
            headers=partial.headers(url),
            open_seconds=open_seconds,
            silence_seconds=silence_seconds,
        )
    except DownloadError as error:
        if error.status == 416 and partial.size:
            if error.headers.get("Content-Range", "").endswith(f"/{partial.size}"):
                return  # nothing is missing
            partial.discard()
            raise DownloadError("the server has less than had arrived before") from error
        raise
    with response:
        kind = response.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml"):
            raise DownloadError(f"the server sent a page ({kind}), not the file", status=200)
        if response.status != 206 or _start(response) != partial.size:
            partial.begin(url, response)
            if response.status == 206:
                raise DownloadError("the server sent another part than was asked for")
        _append(file, url, partial, response)


def _append(file: RemoteFile, url: str, partial: _Partial, response: Any) -> None:
    """Append the body of a response; raise if it ends too early."""
    before = partial.size
    length = response.headers.get("Content-Length", "")
    announced = before + int(length) if length.isdecimal() else None
    total = file.size or announced
    host = urlsplit(response.url).netloc
    size = "" if total is None else f" ({_megabytes(total)})"
    label = f"Downloading {file.name}{size} from {host}"
    with partial.path.open("ab") as out, byte_progress(label, total, before) as advance:
        while chunk := read_chunk(response, _CHUNK):
            out.write(chunk)
            advance(len(chunk))
    expected = announced if announced is not None else file.size
    if expected is not None and partial.size < expected:
        raise DownloadError(f"the connection broke off after {partial.size} of {expected} bytes")


def _start(response: Any) -> int | None:
    """Return where the part that a server sends begins, in bytes."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _asked_for(error: DownloadError) -> float:
    """Return the seconds that a busy server asks to wait, within reason."""
    seconds = error.headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_PAUSE) if seconds.isdecimal() else 0.0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e7 else f"{count / 1e6:.0f} MB"
