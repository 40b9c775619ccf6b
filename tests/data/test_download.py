"""Downloads from a server on this machine: complete and verified, or an error with its reason."""

import contextlib
import hashlib
import socket
import threading

import pytest

from resnet_jax.data.download import DownloadError, download, open_url

from .file_server import NOBODY

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def url(server):
    """The address of `CONTENT`; at `/unknown-length` and `/short` it is sent in other ways."""
    server.files = dict.fromkeys(("/file", "/unknown-length", "/short"), CONTENT)
    server.lengthless = {"/unknown-length"}
    server.cut = {"/short": 500_000}
    return server.url


@pytest.mark.parametrize("path", ["/file", "/unknown-length"])
def test_download(url, tmp_path, capsys, path):
    download(url + path, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert f"Downloading {url}{path}" in capsys.readouterr().err


def test_wrong_checksum(url, tmp_path):
    with pytest.raises(DownloadError, match=f"1024000 bytes arrived with .* {MD5}, not 00"):
        download(url + "/file", tmp_path / "file", md5="00")


def test_broken_off(url, tmp_path):
    with pytest.raises(DownloadError, match="500000 bytes arrived"):
        download(url + "/short", tmp_path / "file", md5=MD5)


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


def test_a_server_that_falls_silent_is_left(tmp_path):
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
            download(url, tmp_path / "file", md5=MD5, silence_seconds=0.3)
        silent.set()


def test_full_disk_is_no_download_error(url, tmp_path):
    with pytest.raises(FileNotFoundError):
        download(url + "/file", tmp_path / "none" / "file", md5=MD5)
