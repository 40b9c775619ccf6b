"""A path that every library takes for what it is."""

from pathlib import Path

import pytest

from resnet_jax.storage import plain_path


@pytest.mark.parametrize("name", ["run", "a b/c_1-2.x", "é日本", "10:30", "~x", "#1 (b), 50%"])
def test_most_folders_are_used_under_their_own_name(tmp_path, name):
    with plain_path(tmp_path / name) as path:
        assert path == tmp_path / name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["[x]", "a*", "b?", "c\\d", "gs:/x", "s3:", "a\nb", "caf\udce9"])
def test_others_are_used_through_a_link(tmp_path, name):
    folder = tmp_path / name
    with plain_path(folder) as path:
        assert path.is_symlink()
        assert not path.exists()
        folder.mkdir(parents=True)
        (path / "file").write_text("x")
        assert (folder / "file").read_text() == "x"
        assert str(path).isascii()
        assert not set(str(path)) & set("[]*?\\:\n")
    assert not path.is_symlink()
    assert not path.parent.exists()
    assert (folder / "file").exists()


@pytest.mark.parametrize("root", ["gs", "s3", "az", "hf"])
def test_folders_at_the_root_that_are_taken_for_buckets(root):
    with plain_path(Path("/", root, "run")) as path:
        assert path.is_symlink()
    with plain_path(Path("/", f"{root}x")) as path:
        assert path == Path("/", f"{root}x")


def test_links_and_slashes_are_resolved(tmp_path):
    (tmp_path / "deep/folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/folder")
    with plain_path(tmp_path / "link/..//run") as path:
        assert path == tmp_path / "deep/run"
    with plain_path(Path(f"/{tmp_path}")) as path:
        assert path.resolve().samefile(tmp_path)
