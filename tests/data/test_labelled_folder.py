"""The images of one part of a folder by class, whatever its part is called."""

import re
from pathlib import Path

import pytest
from PIL import Image

from resnet_jax.data import DatasetError, find_labelled_images


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(path) if path.suffix else path.mkdir()


def names(found):
    return {name: [Path(path).name for path in paths] for name, paths in found.files.items()}


@pytest.mark.parametrize("part", ["", "val/", "Validation/", "test/"])
def test_classes(tmp_path, part):
    touch(tmp_path, f"{part}b/2.png", f"{part}b/deep/1.png", f"{part}a/1.png", f"{part}c")
    (tmp_path / part / "b" / "notes.txt").touch()
    found = find_labelled_images(tmp_path)
    assert list(names(found).items()) == [("a", ["1.png"]), ("b", ["2.png", "1.png"])]
    assert found.root == tmp_path / part
    assert "notes.txt" in found.passed_over
    assert "folders without an image: 1 (c)" in found.passed_over


def test_a_part_by_name(tmp_path):
    touch(tmp_path, "train/a/1.png", "val/a/2.png", "test/a/3.png")
    found = {
        part: names(find_labelled_images(tmp_path, part)) for part in ("auto", "train", "test")
    }
    assert found == {"auto": {"a": ["2.png"]}, "train": {"a": ["1.png"]}, "test": {"a": ["3.png"]}}


@pytest.mark.parametrize(
    ("files", "part", "message"),
    [
        ([], "auto", "has no image in class folders; expected image files in DATA_DIR/<class>/"),
        (["1.png", "2.png"], "auto", "has 2 images outside class folders"),
        (["train/a/1.png"], "auto", "has train/ but no valid/ and no test/; name the folder"),
        (["a/1.png"], "test", "has no parts but no test/"),
        (["val/a/1.png", "dev/a/1.png"], "auto", "has both dev/ and val/; name one"),
    ],
)
def test_mistakes(tmp_path, files, part, message):
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=re.escape(message)):
        find_labelled_images(tmp_path, part)


def test_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        find_labelled_images(tmp_path / "none")
    touch(tmp_path, "a.png")
    with pytest.raises(DatasetError, match="is a file"):
        find_labelled_images(tmp_path / "a.png")
