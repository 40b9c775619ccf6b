"""The decoded images of a folder are kept, verified, shared, and made anew when they must be."""

import os
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from pictures import spoil, write_folder
from PIL import Image

from resnet_jax.data import DatasetError, ImageTransform, load_image_folder
from resnet_jax.data.data_folder import writing
from resnet_jax.data.sources.decoded_cache import Decoded, keep_decoded


@pytest.fixture
def photos(tmp_path):
    return write_folder(tmp_path / "photos")


def load(root, keep_in, **options):
    return load_image_folder(root, **{"side": 8, **options}, keep_in=keep_in)


def images(folder):
    return [part.images for part in (folder.dataset.train, folder.valid, folder.dataset.test)]


def kept(data_dir):
    return sorted((data_dir / "images").iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 1},
        {"transform": ImageTransform(resize=8, crop=8, interpolation="bicubic")},
    ],
)
def test_a_second_start_reads_no_image_file(photos, tmp_path, options):
    plain = load_image_folder(photos, side=8, **options)
    first = load(photos, tmp_path / "data", **options)
    assert (plain.note, first.note.split(" (")[0]) == ("", "kept the decoded images")
    spoil(photos)
    second = load(photos, tmp_path / "data", **options)
    assert second.note == f"read the images that are kept decoded in {kept(tmp_path / 'data')[0]}"
    for folder in (first, second):
        assert folder.dataset.fingerprint == plain.dataset.fingerprint
        assert (folder.dataset.mean, folder.dataset.std) == (plain.dataset.mean, plain.dataset.std)
        for got, expected in zip(images(folder), images(plain), strict=True):
            assert np.array_equal(got, expected)
    assert second.valid.labels.tolist() == plain.valid.labels.tolist()
    assert isinstance(second.dataset.mean[0], float)
    with pytest.raises(DatasetError, match="24 of 24 images"):
        load_image_folder(photos, side=8, **options)


CHANGES = {
    "side": {"side": 9},
    "channels": {"channels": 1},
    "most pixels": {"max_pixels": 10_000},
    "split": {"seed": 5},
    "share": {"fraction": 0.3},
    "transform": {"transform": ImageTransform(resize=8, crop=8)},
    "filter": {"transform": ImageTransform(resize=8, crop=8, interpolation="bicubic")},
    "crop mode": {"transform": ImageTransform(resize=8, crop=8, crop_mode="squash")},
    "border": {"transform": ImageTransform(resize=8, crop=8, crop_mode="border")},
    "colour of the border": {
        "transform": ImageTransform(resize=8, crop=8, crop_mode="border", mean=(0.0, 0.0, 0.0))
    },
}


def test_other_pixels_or_parts_are_kept_apart(photos, tmp_path):
    load(photos, tmp_path / "data")
    for count, (name, options) in enumerate(CHANGES.items(), 2):
        assert "kept" in load(photos, tmp_path / "data", **options).note.split(), name
        assert len(kept(tmp_path / "data")) == count, name
    spoil(photos)
    for options in CHANGES.values():
        assert load(photos, tmp_path / "data", **options).note.startswith("read ")


def test_statistics_that_change_no_pixel_share_the_images(photos, tmp_path):
    for mean in ((0.1,) * 3, (0.2,) * 3):
        load(photos, tmp_path / "data", transform=ImageTransform(resize=8, crop=8, mean=mean))
    assert len(kept(tmp_path / "data")) == 1


def test_files_that_change_are_read_again(photos, tmp_path):
    old = load(photos, tmp_path / "data")
    path = photos / "cat" / "003.jpg"
    state = path.stat()

    def rewrite(color, when):
        Image.new("RGB", (30, 30), color).save(path)
        path.write_bytes(path.read_bytes().ljust(state.st_size, b"\0"))
        os.utime(path, ns=(when, when))

    rewrite((255, 0, 0), state.st_mtime_ns + 1)  # another time of change
    changed = load(photos, tmp_path / "data")
    assert changed.dataset.fingerprint != old.dataset.fingerprint
    path.write_bytes(path.read_bytes() + b"\0")  # another size
    os.utime(path, ns=(state.st_mtime_ns + 1,) * 2)
    assert load(photos, tmp_path / "data").note.startswith("kept ")
    path.rename(path.with_name("003b.jpg"))  # another name
    assert load(photos, tmp_path / "data").note.startswith("kept ")
    other = shutil.copytree(photos, tmp_path / "other")  # with the times of change
    assert load(other, tmp_path / "data").note.startswith("kept ")


@pytest.mark.parametrize("name", ["train_images.npy", "valid_labels.npy", "statistics.npy"])
@pytest.mark.parametrize("damage", ["bit", "cut", "missing"])
def test_damage_is_found_and_mended(photos, tmp_path, name, damage):
    expected = load(photos, tmp_path / "data")
    path = kept(tmp_path / "data")[0] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    if damage != "missing":
        path.write_bytes(data if damage == "bit" else data[:-1])
    with pytest.warns(UserWarning, match="are damaged .*; they are made anew"):
        again = load(photos, tmp_path / "data")
    assert again.dataset.fingerprint == expected.dataset.fingerprint
    assert load(photos, tmp_path / "data").note.startswith("read ")


def test_a_damaged_manifest_is_found(photos, tmp_path):
    load(photos, tmp_path / "data")
    (kept(tmp_path / "data")[0] / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match="are damaged"):
        load(photos, tmp_path / "data")


def test_damaged_image_files_are_kept_nowhere(photos, tmp_path):
    (photos / "cat" / "000.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="1 of 24 images"):
        load(photos, tmp_path / "data")
    assert not (tmp_path / "data" / "images").exists()


def test_a_folder_that_cannot_be_written_to_is_no_error(photos, tmp_path):
    (tmp_path / "file").touch()
    found = load(photos, tmp_path / "file" / "data")
    assert found.note.startswith("the decoded images are not kept: ")
    assert "RESNET_JAX_DATA" in found.note
    assert found.dataset.fingerprint == load_image_folder(photos, side=8).dataset.fingerprint


def test_the_side_must_be_that_of_the_transform(photos):
    with pytest.raises(ValueError, match=r"`side` \(=8\) must be the `resize`"):
        load_image_folder(photos, side=8, transform=ImageTransform(resize=9, crop=8))


LOAD = """
import sys
from pathlib import Path
from resnet_jax.data import load_image_folder
print(load_image_folder(Path(sys.argv[1]), side=8, keep_in=Path(sys.argv[2])).note)
"""


def test_processes_that_start_together_decode_once(photos, tmp_path):
    """Both wait for the lock, which is held here until they do."""
    data_dir = tmp_path / "data"
    command = [sys.executable, "-c", LOAD, str(photos), str(data_dir)]
    with writing(data_dir):
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in both:
            while "Waiting for another process" not in process.stderr.readline():
                assert process.poll() is None
    notes = sorted(process.communicate()[0].split()[0] for process in both)
    assert notes == ["kept", "read"]


def arrays(size, value=0):
    made = {
        f"{part}_{kind}": np.full(1, value, np.int32)
        for part in ("train", "valid", "test")
        for kind in ("images", "labels")
    }
    made["train_images"] = np.full(size, value, np.uint8)
    return Decoded.of({**made, "statistics": np.zeros((2, 3))})


def test_what_was_not_used_for_long_makes_room(tmp_path):
    for number, key in enumerate("abcd"):
        if number == 3:
            keep_decoded(tmp_path, "a" * 64, pytest.fail, limit=8000)  # used again
        keep_decoded(tmp_path, key * 64, lambda: arrays(1000), limit=8000)
        for position, folder in enumerate(kept(tmp_path)):
            if number < 3:
                os.utime(folder / "manifest.json", ns=(position, position))
    names = [folder.name[0] for folder in kept(tmp_path)]
    assert "d" in names
    assert "a" in names
    assert "b" not in names


def test_what_others_keep_there_is_left_alone(tmp_path):
    """The data folder may be one that has a folder of images already."""
    photo = tmp_path / "images" / "cats" / "1.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(bytes(9000))
    (tmp_path / "images" / "notes.txt").write_text("mine")
    for key in "ab":
        decoded = keep_decoded(tmp_path, key * 64, lambda: arrays(5000), limit=8000)
        assert decoded.note.startswith("kept ")
    assert photo.read_bytes() == bytes(9000)
    assert sorted(path.name[:5] for path in (tmp_path / "images").iterdir()) == [
        "bbbbb",
        "cats",
        "notes",
    ]


def test_what_exceeds_the_limit_is_not_kept(tmp_path):
    decoded = keep_decoded(tmp_path, "a" * 64, lambda: arrays(9000), limit=8000)
    assert "not kept: they take 0.0 GB" in decoded.note
    assert not (tmp_path / "images").exists()


def test_images_in_use_survive_their_removal(tmp_path):
    keep_decoded(tmp_path, "a" * 64, lambda: arrays(5000, 7), limit=8000)
    used = keep_decoded(tmp_path, "a" * 64, pytest.fail, limit=8000)
    keep_decoded(tmp_path, "b" * 64, lambda: arrays(5000, 8), limit=8000)
    assert [folder.name[0] for folder in kept(tmp_path)] == ["b"]
    assert used.arrays["train_images"].sum() == 7 * 5000
    assert not used.arrays["train_images"].flags.writeable


def test_a_thread_that_waits_warns_of_nothing(photos, tmp_path):
    """One thread takes what another has kept meanwhile."""
    found = []

    def work():
        found.append(load(photos, tmp_path / "data").note.split()[0])

    with warnings.catch_warnings(action="error"):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == ["kept", "read"]
