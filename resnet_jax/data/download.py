"""Downloading one file, with a checksum and without waiting long for a dead network."""

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
# The authors' server is slow: silence is borne longer in the middle of a download.
SILENCE_SECONDS = 60.0
_CHUNK = 1 << 18


class DownloadError(Exception):
    """A download failed; the message is the reason."""


def open_url(url: str) -> Any:
    """Opens a URL, in `OPEN_SECONDS` at most.

    Args:
        url: the address.

    Returns:
        The open response; close it.

    Raises:
        DownloadError: if the server cannot be reached in time or refuses.
    """
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            answer.put(urllib.request.urlopen(url, timeout=SILENCE_SECONDS))
        except Exception as error:  # handed over to the caller, whatever it is
            answer.put(error)

    # The socket's own timeout covers neither a slow name server nor the number of addresses tried,
    # so a thread makes the attempt and is left behind when time is up.
    threading.Thread(target=attempt, daemon=True).start()
    try:
        result = answer.get(timeout=OPEN_SECONDS)
    except queue.Empty:
        raise DownloadError(f"no answer within {OPEN_SECONDS:.0f} seconds") from None
    if isinstance(result, Exception):
        raise DownloadError(_reason(result)) from result
    return result


def download(url: str, target: Path, *, md5: str) -> None:
    """Downloads a file and verifies it.

    Args:
        url: the address.
        target: file to write; on an error it may be incomplete.
        md5: the expected MD5 checksum, in hexadecimal.

    Raises:
        DownloadError: if the download breaks off or the checksum is wrong.
        OSError: if the file cannot be written.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with open_url(url) as response, target.open("wb") as file:
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
