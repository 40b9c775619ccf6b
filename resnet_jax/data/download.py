"""Download one file, with a checksum and without waiting long for a dead network."""

from __future__ import annotations

import hashlib
import http.client
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .progress import progress_bar

OPEN_SECONDS = 10.0
"""Longest wait for a server's first answer."""

SILENCE_SECONDS = 60.0
"""Longest silence in the middle of a download; the authors' server of CIFAR is slow."""

_CHUNK = 1 << 18


class DownloadError(Exception):
    """A download failed; the message is the reason."""


def open_url(
    url: str, *, open_seconds: float = OPEN_SECONDS, silence_seconds: float = SILENCE_SECONDS
) -> Any:
    """Open a URL, in `open_seconds` at most.

    Args:
        url: the address.
        open_seconds: longest wait for the answer.
        silence_seconds: longest silence of the server, now and when the response is read.

    Returns:
        The open response; close it.

    Raises:
        DownloadError: if the server cannot be reached in time or refuses.
    """
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            # Not `urlopen`, which keeps the proxies of its first call for the whole process.
            answer.put(urllib.request.build_opener().open(url, timeout=silence_seconds))
        except Exception as error:  # whatever it is, the caller raises it
            answer.put(error)

    # The socket's own timeout covers neither a slow name server nor the number of addresses tried,
    # so a thread makes the attempt and is left behind when time is up.
    threading.Thread(target=attempt, daemon=True).start()
    try:
        result = answer.get(timeout=open_seconds)
    except queue.Empty:
        raise DownloadError(f"no answer within {open_seconds:g} seconds") from None
    if isinstance(result, Exception):
        raise DownloadError(_reason(result)) from result
    return result


def download(
    url: str,
    target: Path,
    *,
    md5: str,
    open_seconds: float = OPEN_SECONDS,
    silence_seconds: float = SILENCE_SECONDS,
) -> None:
    """Download a file and verify it.

    Args:
        url: the address.
        target: file to write; on an error it may be incomplete.
        md5: the expected MD5 checksum, in hexadecimal.
        open_seconds: longest wait for the server's answer.
        silence_seconds: longest silence of the server.

    Raises:
        DownloadError: if the download breaks off or the checksum is wrong.
        OSError: if the file cannot be written.
    """
    digest = hashlib.md5(usedforsecurity=False)
    response = open_url(url, open_seconds=open_seconds, silence_seconds=silence_seconds)
    with response, target.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        size = "" if total is None else f" ({total / 1e6:.0f} MB)"
        with progress_bar(f"Downloading {url}{size}", total) as advance:
            while chunk := _read(response):
                file.write(chunk)
                digest.update(chunk)
                advance(len(chunk))
            received = file.tell()
    if digest.hexdigest() != md5:
        raise DownloadError(
            f"{received} bytes arrived with the MD5 checksum {digest.hexdigest()}, not {md5}"
        )


def _read(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
