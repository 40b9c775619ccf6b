"""Downloads from a server on this machine: complete and verified, or an error with its reason."""

import hashlib
import http.server
import socket
import threading
import time

import pytest

from resnet_jax.data import download as module
from resnet_jax.data.download import DownloadError, download, open_url

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/none":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unknown-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:500_000] if self.path == "/short" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/file", "/unknown-length"])
def test_download(server, tmp_path, capsys, path):
    download(server + path, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert f"Downloading {server}{path}" in capsys.readouterr().err


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(DownloadError, match=f"1024000 bytes arrived with .* {MD5}, not 00"):
        download(server + "/file", tmp_path / "file", md5="00")


def test_broken_off(server, tmp_path):
    with pytest.raises(DownloadError, match="500000 bytes arrived"):
        download(server + "/short", tmp_path / "file", md5=MD5)


def test_server_refuses(server):
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        open_url(server + "/none")


def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(DownloadError, match="refused"):
        open_url(f"http://127.0.0.1:{port}/")


def test_unknown_host():
    with pytest.raises(DownloadError):
        open_url("http://nowhere.invalid/")


def test_a_server_that_never_answers_is_left(monkeypatch):
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DownloadError, match="no answer within"):
            open_url(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_an_attempt_that_ignores_its_timeout_is_left(monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: done.wait(30))
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer within"):
        open_url("http://slow-name-server/")
    assert not done.is_set()
    assert time.monotonic() - start < 25  # it did not wait for the attempt's end
    done.set()


def test_a_server_that_falls_silent_is_left(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        silent = threading.Event()

        def answer():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            silent.wait(60)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="timed out"):
            download(url, tmp_path / "file", md5=MD5)
        silent.set()


def test_full_disk_is_no_download_error(server, tmp_path):
    with pytest.raises(FileNotFoundError):
        download(server + "/file", tmp_path / "none" / "file", md5=MD5)
