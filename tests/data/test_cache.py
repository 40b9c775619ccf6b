"""The cache gives back exactly what was written, or says that it does not."""

import json

import numpy as np
import pytest

from resnet_jax.data import Arrays, Parts
from resnet_jax.data.array_files import DamagedCacheError
from resnet_jax.data.cache import read_cache, write_cache


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)

    def arrays(n):
        images = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
        return Arrays(images, rng.integers(0, 10, n).astype(np.int32))

    parts = Parts(arrays(5), arrays(2))
    folder = tmp_path / "arrays" / "x"
    write_cache(tmp_path, folder, parts)
    return folder, parts


def test_reads_what_was_written(written):
    folder, parts = written
    got = read_cache(folder)
    for name, array in parts.arrays.items():
        assert np.array_equal(got.arrays[name], array)
    assert got.digests == parts.digests
    assert sorted(p.name for p in folder.parent.parent.iterdir()) == ["arrays"]


def test_no_cache_is_no_error(tmp_path):
    assert read_cache(tmp_path / "none") is None


def test_is_replaced_as_a_whole(written, tmp_path):
    folder, parts = written
    (folder / "stray").write_text("x")
    write_cache(tmp_path, folder, Parts(parts.test, parts.train))
    assert read_cache(folder).digests["train_images"] == parts.digests["test_images"]
    assert not (folder / "stray").exists()


FILES = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_noticed(written, name):
    path = written[0] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCacheError, match=f"checksum of {name} is wrong"):
        read_cache(written[0])


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("keep", [0, 7, -1])
def test_a_cut_file_is_noticed(written, name, keep):
    path = written[0] / name
    data = path.read_bytes()
    path.write_bytes(data[: keep - 1 if keep < 0 else keep])
    with pytest.raises(DamagedCacheError):
        read_cache(written[0])


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_noticed(written, name):
    (written[0] / name).unlink()
    with pytest.raises(DamagedCacheError):
        read_cache(written[0])


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"format": 2}', '{"format": 1}', "\x00"])
def test_another_manifest_is_noticed(written, content):
    (written[0] / "manifest.json").write_text(content)
    with pytest.raises(DamagedCacheError):
        read_cache(written[0])


def test_arrays_of_another_shape_are_noticed(written):
    folder, parts = written
    np.save(folder / "train_images.npy", parts.train.images.reshape(5, 2, 8, 3))
    with pytest.raises(DamagedCacheError, match="train_images"):
        read_cache(folder)


def test_pickled_objects_are_not_loaded(written):
    folder = written[0]
    np.save(folder / "test_labels.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DamagedCacheError):
        read_cache(folder)


def test_manifest_is_readable(written):
    folder, parts = written
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == {"format": 1, "sha256": parts.digests}
