"""What is found in a folder, and what is passed over and named."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.data import find_images


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root):
    return [path.relative_to(root).as_posix() for path in find_images(root).paths]


def passed_over(root):
    kinds = find_images(root).passed_over.items()
    return {kind: [path.relative_to(root).as_posix() for path in paths] for kind, paths in kinds}


def test_images_at_any_depth_in_order(tmp_path):
    names = ("b/2.JPG", "b/1.png", "a.webp", "b/c/d/3.Tiff", "e.jfif", "f.avif", "g.jpe", "h.jp2")
    touch(tmp_path, *names)
    assert found(tmp_path) == sorted(names)
    assert find_images(tmp_path).passed_over == {}
    assert find_images(tmp_path).summary == ""


def test_the_order_is_folder_by_folder(tmp_path, monkeypatch):
    touch(tmp_path, "a/z.png", "a-b.png", "a.png", "a/b/1.png", "a b/2.png")
    paths = find_images(tmp_path).paths
    assert paths == sorted(paths)
    assert list(map(str, paths)) != sorted(map(str, paths))
    monkeypatch.chdir(tmp_path)
    assert find_images(Path()).paths == [path.relative_to(tmp_path) for path in paths]


def test_other_files_are_named_by_their_suffix(tmp_path):
    touch(tmp_path, "a.png", "notes.txt", "b/1.HEIC", "b/2.heic", "LICENSE", "b/x.eps", "b/y.pdf")
    assert found(tmp_path) == ["a.png"]
    assert passed_over(tmp_path) == {
        ".eps files": ["b/x.eps"],
        ".heic files": ["b/1.HEIC", "b/2.heic"],
        ".pdf files": ["b/y.pdf"],
        ".txt files": ["notes.txt"],
        "files without a suffix": ["LICENSE"],
    }
    assert find_images(tmp_path).summary == (
        "passed over .heic files: 2 (1.HEIC, 2.heic); .eps files: 1 (x.eps); "
        ".pdf files: 1 (y.pdf); .txt files: 1 (notes.txt); files without a suffix: 1 (LICENSE)"
    )


def test_a_summary_is_one_short_line(tmp_path):
    touch(tmp_path, *(f"{number}.heic" for number in range(2000)))
    assert find_images(tmp_path).summary == (
        "passed over .heic files: 2,000 (0.heic, 1.heic, 10.heic, …)"
    )
    other = touch(tmp_path / "other", *(f"a.{number}" for number in range(300)), "b\n\x1b[2J.1")
    assert "\n" not in find_images(other).summary
    assert "\x1b" not in find_images(other).summary
    assert find_images(other).summary.endswith("; 292 other kinds: 292")


SYSTEM = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a.jpg", ".AppleDouble/a.jpg", "._a.jpg"),
    *("b/Thumbs.db", "b/desktop.ini", ".DS_Store", ".ipynb_checkpoints/a-checkpoint.png"),
    *("lost+found/a.png", "$RECYCLE.BIN/a.png", "#recycle/a.png", ".git/x.png", ".@__thumb/a.jpg"),
]


@pytest.mark.parametrize("name", SYSTEM)
def test_what_systems_and_file_servers_leave(tmp_path, name):
    touch(tmp_path, "b/1.png", name)
    assert found(tmp_path) == ["b/1.png"]
    first, _, rest = name.partition("/")
    expected = name if first == "b" or not rest else first
    assert passed_over(tmp_path) == {"hidden or system files": [expected]}


def test_links_are_followed(tmp_path):
    elsewhere = touch(tmp_path / "elsewhere", "x/1.png", "2.png")
    root = touch(tmp_path / "root", "3.png")
    (root / "link").symlink_to(elsewhere)
    (root / "4.png").symlink_to(elsewhere / "2.png")
    assert found(root) == ["3.png", "4.png", "link/2.png", "link/x/1.png"]
    assert passed_over(root) == {}


def test_links_cannot_lead_in_circles(tmp_path):
    root = touch(tmp_path / "root", "a/1.png", "b/2.png")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to(".")
    (root / "b" / "above").symlink_to(tmp_path)
    (root / "b" / "one").symlink_to("two")
    (root / "b" / "two").symlink_to("one")
    assert found(root) == ["a/1.png", "b/2.png"]
    assert passed_over(root) == {
        "broken links": ["b/one", "b/two"],
        "links to folders that are found already": ["a/self", "a/up", "b/above"],
    }
    # From one class a link above leads to the others, whose images are not its own.
    assert found(root / "a") == ["1.png"]


def test_many_links_to_one_folder_count_once(tmp_path):
    """Else 20 folders with two links each to the next would hold a million images."""
    for depth in range(20):
        folder = tmp_path / str(depth)
        folder.mkdir()
        for name in ("x", "y"):
            (folder / name).symlink_to(tmp_path / str(depth + 1))
    touch(tmp_path / "20", "1.png")
    assert found(tmp_path / "0") == ["x/" * 20 + "1.png"]


def test_a_folder_is_preferred_to_a_link_to_it(tmp_path):
    touch(tmp_path, "b/1.png")
    (tmp_path / "a").symlink_to("b")
    assert found(tmp_path) == ["b/1.png"]


def test_broken_links_and_special_files(tmp_path, monkeypatch):
    touch(tmp_path, "1.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # paths of sockets must be short
        server.bind("socket.png")
    assert found(tmp_path) == ["1.png"]
    assert passed_over(tmp_path) == {
        "broken links": ["gone.png"],
        "special files": ["pipe.png", "socket.png"],
    }


def test_names_that_are_no_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    touch(tmp_path, name, os.fsdecode(b"caf\xe9.txt"))
    assert found(tmp_path) == [name]
    assert "caf\\udce9.txt" in find_images(tmp_path).summary


UNREADABLE = """
import os, tempfile
from pathlib import Path
from resnet_jax.data.image_search import find_images
if os.geteuid() == 0:  # the superuser may read everything
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
with tempfile.TemporaryDirectory() as root:
    for name in ("a", "secret"):
        (Path(root) / name).mkdir()
        (Path(root) / name / "1.png").touch()
    (Path(root) / "secret").chmod(0)
    found = find_images(Path(root))
    (Path(root) / "secret").chmod(0o700)
    print([str(path.relative_to(root)) for path in found.paths], found.summary)
"""


def test_unreadable_folders_are_named():
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['a/1.png'] passed over unreadable folders: 1 (secret)\n"
