"""An HTTP server on this machine that serves a few files and remembers what it was asked for."""

import contextlib
import http.server
import threading

NOBODY = "http://127.0.0.1:9/"
"""An address where nobody listens: the connection is refused at once."""


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files`, contents by path; other paths are answered with 404.

    Of a path in `cut` only so many bytes are sent; for one in `lengthless` no length is announced.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.cut = {}
        self.lengthless = set()
        self.requests = []


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        if self.path not in server.lengthless:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # A client that only wanted to know whether the server answers has left by now.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[: server.cut.get(self.path)])

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
