"""Sources that images are streamed from: the same images, labels and classes from each."""

import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from pictures import encoded, write_folder

from resnet_jax.data import DatasetError, open_records

from .tfds_files import write_rows

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ("cat", "dog", "owl")
PARTS = {"train": 9, "validation": 4, "test": 5}


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Keep indexes out of the user's folders."""
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "kept"))


def image(part, number):
    return encoded(100 * list(PARTS).index(part) + number)


def label(part, number):
    return (number + len(part)) % len(NAMES)


def examples():
    for part, count in PARTS.items():
        yield part, [(image(part, n), label(part, n)) for n in range(count)]


def write_tar(root):
    root.mkdir()
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    for part, rows in examples():
        for shard in range(2):
            with tarfile.open(root / f"photos-{part}-{shard:04d}.tar", "w") as tar:
                for number, (data, value) in list(enumerate(rows))[shard::2]:
                    label_of = {".cls": str(value), ".json": json.dumps({"label": value})}
                    suffix = (".cls", ".json")[number % 2]
                    for name, content in (
                        (f"{number:03d}{suffix}", label_of[suffix].encode()),
                        (f"{number:03d}.jpg", data),
                    ):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))


def write_parquet(root):
    (root / "data").mkdir(parents=True)
    features = {"label": {"_type": "ClassLabel", "names": NAMES}, "img": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for part, rows in examples():
        table = pyarrow.table(
            {
                "img": [{"bytes": data, "path": None} for data, _ in rows],
                "label": [value for _, value in rows],
            }
        ).replace_schema_metadata(metadata)
        path = root / "data" / f"{part}-00000-of-00001.parquet"
        parquet.write_table(table, path, row_group_size=2)


def write_array_record(root):
    rows = {
        part: [{"image": data, "label": value, "file_name": part} for data, value in found]
        for part, found in examples()
    }
    write_rows(root, rows, NAMES)


def write_image_folder(root):
    for part, rows in examples():
        for name in NAMES:
            (root / part / name).mkdir(parents=True)
        for number, (data, value) in enumerate(rows):
            (root / part / NAMES[value] / f"{number:03d}.jpg").write_bytes(data)


WRITERS = {
    "tar": write_tar,
    "parquet": write_parquet,
    "array_record": write_array_record,
    "folder": write_image_folder,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_source_gives_the_same_images(kind, tmp_path):
    WRITERS[kind](tmp_path / "photos")
    for _ in range(2):  # the second time from what is kept
        found = open_records(tmp_path / "photos")
        assert found.class_names == NAMES
        for (_, rows), records in zip(examples(), found[1:], strict=True):
            assert records.labels.dtype == np.int32
            read = [
                (records.read(number), int(records.labels[number]))
                for number in range(len(records))
            ]
            assert sorted(read) == sorted(rows)
    prints = {records.fingerprint for records in found[1:]}
    assert len(prints) == 3
    assert [records.fingerprint for records in open_records(tmp_path / "photos")[1:]] == [
        records.fingerprint for records in found[1:]
    ]


@pytest.mark.parametrize("kind", ["tar", "parquet", "array_record"])
def test_a_source_that_changes_is_read_again(kind, tmp_path):
    WRITERS[kind](tmp_path / "photos")
    before = open_records(tmp_path / "photos").test
    path = next(path for path in (tmp_path / "photos").rglob("*test*"))
    if kind == "tar":
        path.unlink()
        assert len(open_records(tmp_path / "photos").test) < len(before)
        return
    path.write_bytes(b"PAR1 is no file of that kind")
    with pytest.raises(DatasetError, match="cannot be read"):
        open_records(tmp_path / "photos")


def test_missing_parts_are_split_off(tmp_path):
    write_tar(tmp_path / "photos")
    for part in ("validation", "test"):
        for path in (tmp_path / "photos").glob(f"*{part}*"):
            path.unlink()
    found = open_records(tmp_path / "photos", seed=1)
    assert [len(records) for records in found[1:]] == [3, 3, 3]
    images = [records.read(n) for records in found[1:] for n in range(3)]
    assert sorted(images) == sorted(data for data, _ in next(iter(examples()))[1])
    for records in found[1:]:
        assert sorted(records.labels) == [0, 1, 2]
    other = open_records(tmp_path / "photos", seed=2)
    assert other.train.fingerprint != found.train.fingerprint


@pytest.mark.parametrize("kind", WRITERS)
def test_records_are_read_in_another_process(kind, tmp_path):
    WRITERS[kind](tmp_path / "photos")
    records = open_records(tmp_path / "photos").train
    sent = pickle.loads(pickle.dumps(records))
    assert [sent.read(n) for n in range(9)] == [records.read(n) for n in range(9)]


def test_array_record_files_that_were_converted_in_their_place_are_read(tmp_path):
    root = tmp_path / "photos"
    write_array_record(root)
    expected = [records.fingerprint for records in open_records(root)[1:]]
    (root / "photos-train.tfrecord-00000-of-00001").write_bytes(b"-")
    info = json.loads((root / "dataset_info.json").read_text())
    info |= {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    (root / "dataset_info.json").write_text(json.dumps(info))
    shutil.rmtree(tmp_path / "kept")
    found = open_records(root)[1:]
    assert [records.fingerprint for records in found] == expected
    sent = pickle.loads(pickle.dumps(found[0]))
    assert sent.read(3) == found[0].read(3)


def test_splits_of_tfds_are_parts_by_their_names(tmp_path):
    def rows(*numbers):
        return [{"image": image("train", n), "label": n % 3} for n in numbers]

    splits = {"train": rows(0, 1), "val": rows(2), "testing": rows(3), "unlabelled": rows(4)}
    found = open_records(write_rows(tmp_path / "photos", splits, NAMES))
    assert found.valid.read(0) == image("train", 2)
    assert [sorted(records.labels) for records in found[1:]] == [[0, 1], [2], [0]]
    del splits["train"]
    with pytest.raises(DatasetError, match="the splits val, testing, unlabelled, but none for"):
        open_records(write_rows(tmp_path / "others", splits, NAMES))


def test_a_folder_of_tfds_without_its_description_is_explained(tmp_path):
    write_array_record(tmp_path / "photos")
    (tmp_path / "photos" / "dataset_info.json").unlink()
    with pytest.raises(DatasetError, match=r"photos cannot be read: .*dataset_info\.json"):
        open_records(tmp_path / "photos")


def test_a_folder_of_tfds_without_labels_is_explained(tmp_path):
    rows = {"train": [{"image": image("train", 0), "name": "a"}]}
    with pytest.raises(DatasetError, match="has no features with a class; expected one, or"):
        open_records(write_rows(tmp_path / "photos", rows, NAMES))


def test_tfrecord_files_are_refused_with_a_way_on(tmp_path):
    (tmp_path / "photos-train.tfrecord-00000-of-00001").write_bytes(b"")
    with pytest.raises(DatasetError, match="tfds convert_format"):
        open_records(tmp_path)


def test_an_image_without_a_label_is_named(tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        member = tarfile.TarInfo("a/007.jpg")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DatasetError, match=r"a/007 has no label"):
        open_records(tmp_path)


def test_other_columns_are_named(tmp_path):
    table = pyarrow.table({"picture": [b""], "label": [0]})
    parquet.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DatasetError, match="the columns picture, label; expected image or img"):
        open_records(tmp_path)


def test_a_folder_of_image_files_is_known_by_its_layout(tmp_path):
    root = write_folder(tmp_path / "photos")
    found = open_records(root)
    assert found.class_names == ("cat", "dog")
    assert [len(records) for records in found[1:]] == [20, 2, 2]
    assert found.train.name(0).startswith(str(root / "cat"))
    with pytest.raises(DatasetError, match="does not exist"):
        open_records(tmp_path / "nowhere")
