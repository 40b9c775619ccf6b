"""A folder of images as a data set: its layouts, its split, and one line for each mistake."""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import DatasetError, array_digest, load_image_folder
from resnet_jax.data.sources.folder import channel_statistics


def make(root, counts, *, level=10):
    """Files of one grey level each, other levels in each folder: `{"cat": 3, …}`."""
    for index, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            grey = level + 20 * index + number
            Image.new("L", (5, 4), grey).save(root / name / f"{number}.png")
    return root


def levels(arrays):
    return arrays.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_a_folder_that_is_divided_already(tmp_path, valid):
    make(tmp_path / "train", {"dog": 3, "cat": 2})
    make(tmp_path / valid, {"dog": 1}, level=100)
    make(tmp_path / "test", {"cat": 2}, level=200)
    (tmp_path / "train" / "notes.txt").touch()
    data = load_image_folder(tmp_path, side=6, channels=3)
    assert data.dataset.class_names == ("cat", "dog")
    assert data.dataset.train.images.shape == (5, 6, 6, 3)
    assert levels(data.dataset.train) == [30, 31, 10, 11, 12]
    assert data.dataset.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert (levels(data.valid), data.valid.labels.tolist()) == ([100], [1])
    assert (levels(data.dataset.test), data.dataset.test.labels.tolist()) == ([200, 201], [0, 0])
    mean = np.mean([30, 31, 10, 11, 12]) / 255
    assert data.dataset.mean == pytest.approx((mean,) * 3)


def test_a_folder_that_is_not_divided(tmp_path):
    """Of each class a share, of the smallest one image at least; each image in one part."""
    make(tmp_path, {"a": 20, "b": 3})
    data = load_image_folder(tmp_path, side=4, channels=1, fraction=0.2)
    parts = (data.dataset.train, data.valid, data.dataset.test)
    assert [np.bincount(part.labels).tolist() for part in parts] == [[13, 1], [3, 1], [4, 1]]
    everything = sorted(level for part in parts for level in levels(part))
    assert everything == [*range(10, 33)]
    again = load_image_folder(tmp_path, side=4, channels=1, fraction=0.2)
    assert again.dataset.fingerprint == data.dataset.fingerprint
    other = load_image_folder(tmp_path, side=4, channels=1, fraction=0.2, seed=5)
    assert levels(other.dataset.test) != levels(data.dataset.test)
    assert other.dataset.fingerprint != data.dataset.fingerprint


def test_a_part_that_is_not_there_is_split_off(tmp_path):
    make(tmp_path / "train", {"a": 4, "b": 4})
    make(tmp_path / "test", {"a": 1, "b": 1}, level=100)
    data = load_image_folder(tmp_path, side=4, channels=1)
    assert levels(data.dataset.test) == [100, 120]
    assert data.valid.labels.tolist() == [0, 1]
    assert len(data.dataset.train) == 6


def test_names_are_part_of_the_fingerprint(tmp_path):
    one = make(tmp_path / "one", {"a": 3, "b": 3})
    two = shutil.copytree(one, tmp_path / "two")
    (two / "b").rename(two / "c")
    prints = {load_image_folder(root, side=4).dataset.fingerprint for root in (one, two)}
    assert len(prints) == 2


def test_damaged_images_are_told_together(tmp_path, tmp_path_factory, monkeypatch):
    temporary = tmp_path_factory.mktemp("temporary")
    make(tmp_path / "train", {"a": 5, "b": 5})
    make(tmp_path / "valid", {"a": 1})
    (tmp_path / "train" / "b" / "0.png").write_bytes(b"")
    (tmp_path / "valid" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="2 of 11 images cannot be used") as error:
        load_image_folder(tmp_path, side=4)
    for name in ("train/b/0.png is none of", "valid/a/0.png is none of"):
        assert str(tmp_path / name) in str(error.value)
    for number in range(5):
        for name in "ab":
            (tmp_path / "train" / name / f"{number}.png").write_bytes(b"")
    pattern = r"11 of 11 .*; and 1 more, all listed in (.*unusable-images-.*\.txt)$"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(DatasetError, match=pattern) as error:
        load_image_folder(tmp_path, side=4)
    place = Path(re.search(pattern, str(error.value)).group(1))
    assert list(temporary.iterdir()) == [place]
    lines = place.read_text().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith(f"{tmp_path}/train/a/0.png is none of PNG")


def test_a_list_that_cannot_be_written_is_no_error_of_its_own(tmp_path, monkeypatch):
    make(tmp_path, {"a": 20, "b": 3})
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=r"20 of 23 images .*; and 10 more$"):
        load_image_folder(tmp_path, side=4)


def test_headers_come_before_pixels_and_counts_before_headers(tmp_path):
    make(tmp_path, {"a": 5, "b": 5})
    whole = (tmp_path / "a" / "0.png").read_bytes()
    (tmp_path / "a" / "0.png").write_bytes(whole[:-20])
    with pytest.raises(DatasetError, match=r"1 of 10 images .*a/0\.png cannot be read"):
        load_image_folder(tmp_path, side=4)
    (tmp_path / "a" / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"1 of 10 images .*a/1\.png is none of"):
        load_image_folder(tmp_path, side=4)
    make(tmp_path, {"c": 2})
    with pytest.raises(DatasetError, match="the class c has too few images"):
        load_image_folder(tmp_path, side=4)


def test_what_was_found_is_told_first(tmp_path):
    make(tmp_path, {f"class {number:02d}": 5 for number in range(12)} | {"it\x1b[1m": 6})
    (tmp_path / "class 00" / "0.png").write_bytes(b"")
    (tmp_path / "class 00" / "0.heic").touch()
    (tmp_path / "loose.png").touch()
    found = []
    with pytest.raises(DatasetError, match="1 of 66 images"):
        load_image_folder(tmp_path, side=4, on_found=found.append)
    (facts,) = found
    assert sum(facts.counts["train"]) == 66 - 26
    assert facts.counts["valid"] == facts.counts["test"] == (1,) * 13
    assert facts.split_off == ("valid", "test")
    head, train, valid, _, passed_over = facts.lines
    assert head.startswith(f"{tmp_path} has 13 classes: class 00, class 01, ")
    assert head.endswith("class 09, and 3 more")
    assert train.startswith("train: 40 images (class 00 3, class 01 3, ")
    assert valid.startswith("valid: 13 images, split off the training images (class 00 1, ")
    assert passed_over == (
        "passed over images outside class folders: 1 (loose.png); .heic files: 1 (0.heic)"
    )
    assert not any("\x1b" in line for line in facts.lines)


# By the version that read all images first and divided the arrays after that.
PRINTS = {
    "classes": "e751be5c88b4cdbbd3222a927330f6375f3b4c7c81e00740d5012f834986619b",
    "train and test": "35a13e09fa7a4febbe1c1a79f06a5556c6af47fa3108344b037ec9c96410d423",
    "all parts": "c70b92a45d905ab4aae4a186963198877eeb6abd09000a328de885c3567ec3b3",
}


@pytest.mark.parametrize("layout", PRINTS)
def test_fingerprints_do_not_change(layout, tmp_path):
    """Runs on these folders can be resumed."""
    parts = {"classes": [""], "train and test": ["train", "test"]}.get(
        layout, ["train", "val", "test"]
    )
    generator = np.random.default_rng(3)
    for part in parts:
        for name, count in {"b": 31, "a\u0308": 12, "C c": 5}.items():
            folder = tmp_path / part / name / "deep"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    data = load_image_folder(tmp_path, side=6, fraction=0.2, seed=9)
    valid = array_digest(data.valid.images) + array_digest(data.valid.labels)
    prints = data.dataset.fingerprint + valid
    assert hashlib.sha256(prints.encode()).hexdigest() == PRINTS[layout]


MISTAKES = {
    "missing": r"`data_dir` \(=.*\) does not exist; expected image files in DATA_DIR/<class>/",
    "file": r"`data_dir` \(=.*\) is a file, not a folder",
    "empty": r"has no class folders in .*; at least 2 are needed",
    "flat": r"has no class folders in ",
    "one class": r"has 1 class folder in .*; at least 2 are needed",
    "no images": r"the class b has no image in .*b \(\.png, .*\); 1 of 2 classes are empty$",
    "two images": r"the class b has too few images to split off some for valid; each class needs 3",
    "no train": r"has valid/ but no train/",
    "both": r"has both val/ and valid/, which both stand for valid/; keep one",
    "unknown": r"valid has the class c, which .*train lacks",
    "empty part": r"valid has no image in class folders; remove it to split",
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes(kind, tmp_path):
    root = tmp_path / "images"
    if kind == "file":
        root.touch()
    elif kind == "empty":
        root.mkdir()
    elif kind == "flat":
        make(tmp_path, {"images": 3})
    elif kind in ("one class", "no images", "two images"):
        make(root, {"a": 3} | {"no images": {"b": 0}, "two images": {"b": 2}}.get(kind, {}))
    elif kind != "missing":
        if kind != "no train":
            make(root / "train", {"a": 3, "b": 3})
        make(root / "valid", {"unknown": {"c": 1}, "empty part": {}}.get(kind, {"a": 1}))
        (root / "valid").mkdir(exist_ok=True)
        if kind == "both":
            make(root / "val", {"a": 1})
    with pytest.raises(DatasetError, match=MISTAKES[kind]):
        load_image_folder(root, side=4)


def test_the_fraction(tmp_path):
    with pytest.raises(ValueError, match=r"`fraction` \(=0.5\) must be above 0 and below 0.5"):
        load_image_folder(tmp_path, side=4, fraction=0.5)


def test_statistics():
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 2, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)))
