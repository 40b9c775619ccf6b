"""Open a URL without waiting long for a dead network, and say in one line why it failed."""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

OPEN_SECONDS = 10.0
"""Longest wait for a server's first answer."""

SILENCE_SECONDS = 60.0
"""Longest silence in the middle of a download; the authors' server of CIFAR is slow."""

_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))


class DownloadError(Exception):
    """A download failed; the message is the reason.

    Attributes:
        status: the HTTP status that the server answered with, or None if there was none.
        headers: the headers of that answer.
    """

    def __init__(
        self, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later: no answer, a broken one, or a busy server."""
        return self.status is None or self.status in _LATER


def open_url(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    open_seconds: float = OPEN_SECONDS,
    silence_seconds: float = SILENCE_SECONDS,
) -> Any:
    """Open a URL, in `open_seconds` at most; redirects are followed.

    Args:
        url: the address.
        headers: headers of the request.
        open_seconds: longest wait for the answer.
        silence_seconds: longest silence of the server, now and when the response is read.

    Returns:
        The open response; close it.

    Raises:
        DownloadError: if the server cannot be reached in time or refuses.
    """
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    request = urllib.request.Request(url, headers=dict(headers or {}))

    def attempt() -> None:
        try:
            # Not `urlopen`, which keeps the proxies of its first call for the whole process.
            answer.put(urllib.request.build_opener().open(request, timeout=silence_seconds))
        except Exception as error:  # whatever it is, the caller raises it
            answer.put(error)

    # The socket's own timeout covers neither a slow name server nor the number of addresses tried,
    # so a thread makes the attempt and is left behind when time is up.
    threading.Thread(target=attempt, daemon=True).start()
    try:
        result = answer.get(timeout=open_seconds)
    except queue.Empty:
        raise DownloadError(f"no answer within {open_seconds:g} seconds") from None
    if isinstance(result, urllib.error.HTTPError):
        with result:
            raise DownloadError(
                f"the server answered {result.code} {result.reason}",
                status=result.code,
                headers=dict(result.headers.items()),
            ) from result
    if isinstance(result, Exception):
        raise DownloadError(_reason(result)) from result
    return result


def read_chunk(response: Any, size: int) -> bytes:
    """Read the next bytes of a response; none at its end.

    Args:
        response: an open response.
        size: most bytes to read.

    Raises:
        DownloadError: if the connection breaks or the server falls silent.
    """
    try:
        return response.read1(size)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(_reason(error)) from error


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
