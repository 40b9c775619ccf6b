"""Downloads from a server on this machine that misbehaves: the right file, or an error and why."""

import hashlib
import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest

from resnet_jax.data.download import check_servers, download
from resnet_jax.data.http import DownloadError
from resnet_jax.data.remote_file import RemoteFile

from .file_server import NOBODY

CONTENT = bytes(range(256)) * 4000
DIGEST = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


def remote(*urls, digest=DIGEST, size=None):
    return RemoteFile(name="file.bin", digest=digest, urls=urls, size=size)


def fetch(tmp_path, *urls, pauses=(0, 0), **options):
    download(remote(*urls, **options), tmp_path / "file.bin", pauses=pauses)
    return (tmp_path / "file.bin").read_bytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def url(server):
    """The address of `CONTENT`; the server does not give parts of it."""
    server.files = {"/file": CONTENT}
    return f"{server.url}/file"


@pytest.fixture
def resumable(server, url):
    """Likewise, with parts for those who ask for them."""
    server.ranges = {"/file"}
    return url


@pytest.mark.parametrize("lengthless", [False, True])
def test_the_file_arrives_and_nothing_else_stays(server, url, tmp_path, capsys, lengthless):
    server.lengthless = {"/file"} if lengthless else set()
    assert fetch(tmp_path, url) == CONTENT
    assert names(tmp_path) == ["file.bin"]
    host = url.removeprefix("http://").removesuffix("/file")
    size = "" if lengthless else r" (1.0 MB)"
    assert f"Downloading file.bin{size} from {host}" in capsys.readouterr().err


def test_the_way_is_shown_without_a_terminal(url, tmp_path, capsys):
    fetch(tmp_path, url)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "  1.0 of 1.0 MB"
    assert 2 <= len(lines) <= 11


def test_a_break_is_resumed_where_it_was(server, resumable, tmp_path, caplog):
    server.cut["/file"] = 300_000
    assert fetch(tmp_path, resumable) == CONTENT
    assert [asked.get("Range") for asked in server.asked] == [
        None,
        "bytes=300000-",
        "bytes=600000-",
        "bytes=900000-",
    ]
    assert "broke off after 300000 of 1024000 bytes" in caplog.text


def test_a_server_that_gets_on_is_never_given_up(server, resumable, tmp_path):
    server.cut["/file"] = 50_000
    assert fetch(tmp_path, resumable, pauses=(0,)) == CONTENT


def test_the_next_process_goes_on(server, resumable, tmp_path):
    server.cut["/file"] = 100_000
    server.ranges = set()
    with pytest.raises(DownloadError, match=r"0\.1 MB that arrived are kept for the next attempt"):
        fetch(tmp_path, resumable)
    assert not (tmp_path / "file.bin").exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000
    server.cut.clear()
    server.ranges = {"/file"}
    server.asked.clear()
    assert fetch(tmp_path, resumable) == CONTENT
    assert server.asked[0]["Range"] == "bytes=100000-"
    assert names(tmp_path) == ["file.bin"]


def download_slowly(url, folder):
    download(remote(url), folder / "file.bin")


def test_a_killed_download_goes_on(server, resumable, tmp_path):
    server.pauses["/file"] = 0.01
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=download_slowly, args=(resumable, tmp_path))
    process.start()
    part = tmp_path / "file.bin.part"
    while not (part.exists() and part.stat().st_size > 50_000):
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "file.bin").exists()
    server.pauses.clear()
    server.asked.clear()
    assert fetch(tmp_path, resumable) == CONTENT
    assert int(server.asked[0]["Range"].removeprefix("bytes=").removesuffix("-")) > 50_000


def test_a_server_without_parts_starts_anew(server, url, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(tmp_path, url) == CONTENT
    assert len(server.requests) == 1


def test_parts_of_a_changed_file_are_not_mixed(server, resumable, tmp_path):
    server.files["/file"], server.tags["/file"] = bytes(1_000_000), '"old"'
    server.cut["/file"] = 400_000
    with pytest.raises(DownloadError, match="broke off after 400000"):
        fetch(tmp_path, resumable, pauses=())
    server.files["/file"], server.tags["/file"] = CONTENT, '"new"'
    server.cut.clear()
    server.asked.clear()
    assert fetch(tmp_path, resumable) == CONTENT
    assert server.asked[0]["If-Range"] == '"old"'
    assert len(server.asked) == 1  # it was answered with the whole new file


def test_parts_that_do_not_fit_together_are_dropped(server, resumable, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"?" * 500)
    assert fetch(tmp_path, resumable) == CONTENT
    assert [asked.get("Range") for asked in server.asked] == ["bytes=500-", None]


def test_a_part_that_is_the_whole_file_is_used(server, resumable, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(tmp_path, resumable) == CONTENT
    assert len(server.requests) == 1  # 416: there is nothing more


def test_a_part_that_is_longer_than_the_file_is_dropped(server, resumable, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(tmp_path, resumable) == CONTENT


def test_too_long_a_length_is_a_break(server, url, tmp_path):
    server.claims["/file"] = len(CONTENT) + 1000
    with pytest.raises(DownloadError, match="broke off after 1024000 of 1025000 bytes"):
        fetch(tmp_path, url)
    assert not (tmp_path / "file.bin").exists()


def test_too_long_a_length_does_not_matter_where_parts_are_given(server, resumable, tmp_path):
    server.claims["/file"] = len(CONTENT) + 1000
    assert fetch(tmp_path, resumable) == CONTENT


def test_too_short_a_length_is_a_wrong_checksum(server, url, tmp_path):
    server.claims["/file"] = 1000
    with pytest.raises(DownloadError, match=f"1000 bytes arrived with .*, not {DIGEST}"):
        fetch(tmp_path, url)
    assert names(tmp_path) == []


def test_another_file_is_a_wrong_checksum_and_is_not_kept(url, tmp_path):
    with pytest.raises(DownloadError, match=f"1024000 bytes arrived with .* {DIGEST}, not md5:00"):
        fetch(tmp_path, url, digest="md5:00")
    assert names(tmp_path) == []


def test_a_page_is_not_taken_for_the_file(server, resumable, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.types["/file"] = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match=r"sent a page \(text/html\), not the file"):
        fetch(tmp_path, resumable)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:1000]
    assert len(server.requests) == 1


def test_redirects_are_followed_with_what_was_asked(server, resumable, tmp_path):
    server.moved["/old"] = resumable
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(tmp_path, f"{server.url}/old") == CONTENT
    assert [asked["Range"] for asked in server.asked] == ["bytes=1000-"] * 2


def test_redirects_in_a_circle_are_left(server, tmp_path):
    server.moved["/old"] = f"{server.url}/old"
    with pytest.raises(DownloadError, match="302"):
        fetch(tmp_path, f"{server.url}/old")


def test_a_busy_server_is_asked_again(server, url, tmp_path):
    server.statuses["/file"] = [503, 429]
    assert fetch(tmp_path, url) == CONTENT
    assert len(server.requests) == 3


def test_a_missing_file_is_not_asked_for_again(server, tmp_path):
    with pytest.raises(DownloadError, match="/none: the server answered 404 Not Found"):
        fetch(tmp_path, f"{server.url}/none")
    assert len(server.requests) == 1


def test_the_second_server_goes_on_where_the_first_broke_off(server, url, tmp_path):
    server.files["/mirror"] = CONTENT
    server.ranges = {"/mirror"}
    server.cut["/file"] = 400_000
    assert fetch(tmp_path, url, f"{server.url}/mirror") == CONTENT
    assert server.requests == ["/file"] * 3 + ["/mirror"]
    assert server.asked[-1]["Range"] == "bytes=400000-"


@pytest.mark.parametrize("fault", ["nobody", "missing", "page", "other"])
def test_the_second_server_serves_where_the_first_does_not(server, url, tmp_path, fault):
    server.files["/other"] = b"other"
    server.files["/page"] = b"<html>"
    server.types["/page"] = "text/html"
    first = NOBODY if fault == "nobody" else f"{server.url}/{fault}"
    assert fetch(tmp_path, first, url) == CONTENT
    assert names(tmp_path) == ["file.bin"]


def test_every_server_has_its_reason(server, url, tmp_path):
    with pytest.raises(DownloadError) as caught:
        fetch(tmp_path, NOBODY, f"{server.url}/none")
    assert f"{NOBODY}: " in str(caught.value)
    assert f"{server.url}/none: the server answered 404" in str(caught.value)


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
            download(remote(url), tmp_path / "file.bin", pauses=(), silence_seconds=0.3)
        silent.set()
    assert (tmp_path / "file.bin.part").read_bytes() == b"half"


def test_a_slow_server_is_waited_for(server, url, tmp_path):
    server.files["/file"] = CONTENT[:20_000]
    server.pauses["/file"] = 0.02
    digest = f"sha256:{hashlib.sha256(CONTENT[:20_000]).hexdigest()}"
    download(
        remote(url, digest=digest), tmp_path / "file.bin", pauses=(), silence_seconds=0.2
    )  # longer than the silence in all
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[:20_000]


def test_full_disk_is_no_download_error(url, tmp_path):
    with pytest.raises(FileNotFoundError):
        download(remote(url), tmp_path / "none" / "file.bin")


def test_servers_are_checked_without_a_file(server, url, tmp_path):
    check_servers(remote(NOBODY, url))
    with pytest.raises(DownloadError, match="/none: the server answered 404"):
        check_servers(remote(NOBODY, f"{server.url}/none"))
