"""An HTTP server on this machine that serves a few files and remembers what it was asked for."""

import contextlib
import http.server
import threading
import time

NOBODY = "http://127.0.0.1:9/"
"""An address where nobody listens: the connection is refused at once."""


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files`, contents by path; other paths are answered with 404.

    Each of the other attributes makes it behave in another way for some paths.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.cut = {}  # only so many bytes of each answer are sent
        self.lengthless = set()  # no length is announced
        self.claims = {}  # this length is announced
        self.ranges = set()  # parts are given to those who ask for them
        self.tags = {}  # the version of the file
        self.types = {}  # the content type
        self.statuses = {}  # answers without a body, one after the other, before the file
        self.moved = {}  # the address that it has moved to
        self.pauses = {}  # seconds before each kilobyte
        self.requests = []
        self.asked = []  # the headers of each request


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path
        server.requests.append(path)
        server.asked.append(dict(self.headers.items()))
        if server.statuses.get(path):
            status = server.statuses[path].pop(0)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.files.get(path)
        if content is None:
            self.send_error(404)
            return
        start = self._start(path)
        if start is not None and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if path not in server.lengthless:
            self.send_header("Content-Length", str(server.claims.get(path, len(body))))
        if path in server.tags:
            self.send_header("ETag", server.tags[path])
        self.send_header("Content-Type", server.types.get(path, "application/octet-stream"))
        self.end_headers()
        body = body[: server.cut.get(path)]
        # A client that only wanted to know whether the server answers has left by now.
        with contextlib.suppress(ConnectionError):
            if pause := server.pauses.get(path):
                for at in range(0, len(body), 1000):
                    time.sleep(pause)
                    self.wfile.write(body[at : at + 1000])
            else:
                self.wfile.write(body)

    def _start(self, path):
        """The first byte asked for, or None for the whole file."""
        asked = self.headers.get("Range", "")
        tag = self.headers.get("If-Range")
        if path not in self.server.ranges or not asked.startswith("bytes="):
            return None
        if tag is not None and tag != self.server.tags.get(path):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
