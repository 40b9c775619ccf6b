"""A small server that speaks enough of the Hugging Face Hub for the download of files."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMITS = {"main": "1" * 40, "v2": "2" * 40}
"""Commits by the name of the revision; a commit names itself."""

Repositories = Mapping[str, Mapping[str, bytes]]


class HubServer(ThreadingHTTPServer):
    """Serves repositories; those called `*/failing` answer 500, `*/broken` breaks off.

    Attributes:
        repositories: content by file name, by repository.
        requests: method and path of every request.
    """

    daemon_threads = True

    def __init__(self, repositories: Repositories) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path.partition("?")[0])
        if found is None:
            return self._refuse(404, "")
        repository, revision, name = found.groups()
        if repository.endswith("/failing"):
            return self._refuse(500, "")
        files = self.server.repositories.get(repository)
        commit = revision if revision in COMMITS.values() else COMMITS.get(revision)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        if name not in files:
            return self._refuse(404, "EntryNotFound", commit)
        content = files[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content and repository.endswith("/broken") and name.endswith("safetensors"):
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif with_content:
            self.wfile.write(content)
        return None

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def serve(repositories: Repositories) -> Iterator[HubServer]:
    """Yield a running server on loopback."""
    with HubServer(repositories) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
