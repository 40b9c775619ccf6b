"""Opening a URL on this machine: an answer in time, or an error with its reason."""

import contextlib
import socket
import threading

import pytest

from resnet_jax.data.http import DownloadError, open_url

from .file_server import NOBODY


@pytest.fixture
def url(server):
    server.files = {"/file": b"content"}
    return server.url


def test_server_refuses(url):
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        open_url(url + "/none")


def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(DownloadError, match="refused"):
        open_url(f"http://127.0.0.1:{port}/")


def test_each_download_follows_the_proxies_of_its_time(url, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("http_proxy", NOBODY)
        patch.setenv("no_proxy", "")
        with pytest.raises(DownloadError, match="refused"):
            open_url(f"{url}/file")
    open_url(f"{url}/file").close()


def test_unknown_host():
    with pytest.raises(DownloadError):
        open_url("http://nowhere.invalid/")


def test_a_server_that_never_answers_is_left():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DownloadError, match=r"no answer within 0\.2 seconds"):
            open_url(f"http://127.0.0.1:{silent.getsockname()[1]}/", open_seconds=0.2)


def test_an_attempt_that_ignores_its_timeout_is_left():
    """The socket's timeout starts anew at every byte, so a slow enough answer never exceeds it."""
    done = threading.Event()

    def trickle(listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.0 200 OK\r\nX: ")
            for _ in range(100):
                if done.wait(0.1):
                    return
                connection.sendall(b"x")
            connection.sendall(b"\r\n\r\n")  # an answer after all, to whoever still waits

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        with pytest.raises(DownloadError, match="no answer within"):
            open_url(f"http://127.0.0.1:{listener.getsockname()[1]}/", open_seconds=0.3)
        done.set()  # only now: the attempt was left in the middle
        thread.join()
