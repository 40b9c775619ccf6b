"""Home folders: of this user, of another, and of nobody."""

from pathlib import Path

import pytest

from resnet_jax.storage import expand_user, user_cache_dir


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "expanded"),
    [("~", "/home/me"), ("~/a", "/home/me/a"), ("a~", "a~"), ("/~", "/~")],
)
def test_the_home_of_this_user(path, expanded):
    assert expand_user(path) == expand_user(Path(path)) == Path(expanded)


def test_the_home_of_nobody():
    with pytest.raises(ValueError, match=r"~nobody-here/a .* no home folder is known for ~nobody"):
        expand_user("~nobody-here/a")
    Path("~nobody-here").touch()
    assert expand_user("~nobody-here") == Path("~nobody-here")


def test_the_folder_for_caches(monkeypatch):
    assert user_cache_dir() == Path("/home/me/.cache")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/caches")
    assert user_cache_dir() == Path("/home/me/caches")


def test_no_folder_for_caches(monkeypatch):
    """As in a container that runs as a user of whom it knows the number alone."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(ValueError, match="set HOME or XDG_CACHE_HOME"):
        user_cache_dir()
