"""Which folders are parts, which are classes, and what is refused because it could be either."""

import os
import unicodedata

import pytest
from PIL import Image

from resnet_jax.data import DatasetError, load_image_folder


def make(root, *folders, count=3):
    """Folders of a few images each."""
    for name in folders:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("L", (4, 4)).save(root / name / f"{number}.png")
    return root


def facts_of(root):
    found = []
    load_image_folder(root, side=4, on_found=found.append)
    return found[0]


def refusal(root):
    with pytest.raises(DatasetError) as error:
        load_image_folder(root, side=4)
    assert "\n" not in str(error.value)
    return str(error.value)


SPELLINGS = {
    "train": ["train", "Train", "TRAIN", "training", "Training", "trn", "train_set", "TrainData"],
    "valid": ["valid", "val", "VAL", "Validation", "dev", "eval", "Evaluation", "val-set"],
    "test": ["test", "Test", "TESTING", "tst", "tests", "Test Set", "test_images"],
}


@pytest.mark.parametrize("part", SPELLINGS)
@pytest.mark.parametrize("index", range(8))
def test_parts_in_their_usual_spellings(part, index, tmp_path):
    names = {other: other for other in SPELLINGS}
    names[part] = SPELLINGS[part][index % len(SPELLINGS[part])]
    for count, name in enumerate(names.values(), 3):
        make(tmp_path / name, "cat", "dog", count=count)
    facts = facts_of(tmp_path)
    assert facts.class_names == ("cat", "dog")
    assert facts.counts == {"train": (3, 3), "valid": (4, 4), "test": (5, 5)}
    assert facts.split_off == ()


def test_two_spellings_of_one_part_are_refused(tmp_path):
    for name in ("train", "Test", "testing"):
        make(tmp_path / name, "cat", "dog")
    assert "has both Test/ and testing/, which both stand for test/; keep one" in refusal(tmp_path)


def test_an_unknown_folder_beside_train_is_refused(tmp_path):
    make(tmp_path / "train", "cat", "dog")
    make(tmp_path / "holdout", "cat", "dog")
    message = refusal(tmp_path)
    assert "has holdout/ beside train/; rename a part to train/, valid/ or test/" in message


def test_a_class_named_as_a_part(tmp_path):
    """Vehicles: it could be either, so it is refused, and the way that the message says works."""
    classes = ("car", "plane", "train")
    make(tmp_path, *classes)
    message = refusal(tmp_path)
    assert "has car/, plane/ beside train/" in message
    assert message.endswith(f"If they are classes, move all class folders into {tmp_path}/train/")
    (tmp_path / "all").mkdir()
    for name in classes:
        (tmp_path / name).rename(tmp_path / "all" / name)
    (tmp_path / "all").rename(tmp_path / "train")
    assert facts_of(tmp_path).class_names == classes


@pytest.mark.parametrize("name", ["test", "Validation", "dev", "eval"])
def test_a_class_named_as_a_part_without_train(name, tmp_path):
    make(tmp_path, "cat", "dog", name)
    assert f"has {name}/ but no train/" in refusal(tmp_path)
    assert "If they are classes, move all class folders into" in refusal(tmp_path)


def test_folders_without_images_beside_the_parts_are_named(tmp_path):
    make(tmp_path / "train", "cat", "dog")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").touch()
    (tmp_path / "README.md").touch()
    assert facts_of(tmp_path).passed_over == (
        "passed over files outside class folders: 1 (README.md); "
        "folders without an image: 1 (annotations)"
    )


@pytest.mark.parametrize("second", [("cat", "dog"), ("cat", "dog", "emu")])
def test_parts_of_other_names_are_not_taken_for_classes(tmp_path, second):
    make(tmp_path / "photos2017", "cat", "dog", "emu")
    make(tmp_path / "photos2018", *second)
    message = refusal(tmp_path)
    assert "photos2017/, photos2018/ in `data_dir`" in message
    assert "all hold the same folders cat/, dog/, emu/, so they look like parts" in message
    assert "rename them to train/, valid/ and test/" in message


@pytest.mark.parametrize(
    "folders",
    [
        ("cat/images", "dog/images"),  # as in Tiny ImageNet
        ("cat/2019", "cat/2020", "dog/2020", "dog/2021"),
        ("cat", "cat/2019", "cat/2020", "dog", "dog/2019", "dog/2020"),
        ("cat/a", "cat/b", "dog"),
    ],
)
def test_classes_may_have_folders(tmp_path, folders):
    assert facts_of(make(tmp_path, *folders)).class_names == ("cat", "dog")


def test_classes_that_are_divided_themselves_are_refused(tmp_path):
    """Else the images for the test would be trained on."""
    make(tmp_path, "cat/train", "cat/test", "dog/train", "dog/test")
    message = refusal(tmp_path)
    assert "is divided into parts itself, " in message
    assert "move them up, so that the images are in DATA_DIR/<part>/<class>/" in message


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "lost+found", ".ipynb_checkpoints"])
@pytest.mark.parametrize("place", ["", "train"])
def test_what_systems_leave_is_no_class(tmp_path, name, place):
    make(tmp_path / place, "cat", "dog")
    make(tmp_path, name)
    make(tmp_path / place, name)
    facts = facts_of(tmp_path)
    assert facts.class_names == ("cat", "dog")
    assert "hidden or system files: " in facts.passed_over
    assert name in facts.passed_over


def test_a_link_to_the_folder_itself_is_no_class(tmp_path):
    make(tmp_path, "cat", "dog")
    (tmp_path / "all").symlink_to(".")
    (tmp_path / "cat" / "up").symlink_to("..")
    facts = facts_of(tmp_path)
    assert facts.class_names == ("cat", "dog")
    assert sum(map(sum, facts.counts.values())) == 6
    assert "links to folders that are found already: 2 (all, up)" in facts.passed_over


def test_two_classes_that_are_one_folder_are_refused(tmp_path):
    make(tmp_path, "cat", "dog")
    (tmp_path / "emu").symlink_to("dog")
    assert refusal(tmp_path).endswith("dog and emu are the same folder; keep one")


def test_linked_classes_and_parts_are_followed(tmp_path):
    make(tmp_path / "elsewhere", "1", "2")
    root = tmp_path / "root"
    root.mkdir()
    (root / "Train").symlink_to("../elsewhere")
    (root / "gone").symlink_to("nowhere")
    facts = facts_of(root)
    assert facts.class_names == ("1", "2")
    assert "broken links: 1 (gone)" in facts.passed_over


def test_a_class_without_an_image_says_what_it_holds(tmp_path):
    make(tmp_path, "cat", "dog")
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu" / "1.heic").touch()
    message = refusal(tmp_path)
    assert "the class emu has no image" in message
    assert "passed over .heic files: 1 (1.heic); 1 of 3 classes are empty" in message


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("names", [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_name_in_two_unicode_forms_is_one_class(tmp_path, names):
    for part, name in zip(("train", "valid"), names, strict=True):
        make(tmp_path / part, name, "tea")
    facts = facts_of(tmp_path)
    # The name stays as the training part spells it.
    assert facts.class_names == (names[0], "tea")
    assert facts.counts["valid"] == (3, 3)


def test_two_unicode_forms_in_one_part_are_refused(tmp_path):
    make(tmp_path, COMPOSED, DECOMPOSED)
    message = refusal(tmp_path)
    assert r"in different Unicode forms: 'cafe\u0301' and 'caf\xe9'; keep one" in message


def test_a_class_whose_name_is_no_utf_8_is_refused(tmp_path):
    make(tmp_path, "cat", os.fsdecode(b"caf\xe9"))
    message = refusal(tmp_path)
    assert message.endswith(r"caf\udce9 is no UTF-8; rename it")
    message.encode()


def test_files_whose_names_are_no_utf_8(tmp_path):
    make(tmp_path, "cat", "dog")
    odd = tmp_path / "cat" / os.fsdecode(b"caf\xe9.png")
    (tmp_path / "cat" / "0.png").rename(odd)
    assert facts_of(tmp_path).class_names == ("cat", "dog")
    odd.write_bytes(b"")
    message = refusal(tmp_path)
    assert r"cat/caf\udce9.png is none of" in message
    message.encode()


ODD_NAMES = ["a\nb", "\x1b[31m", " ", "[red]", "$x_{", "%s", "{0}", "~", "-", "\\", "\u2028", "*?"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_classes_of_any_name(tmp_path, name):
    make(tmp_path, "cat", name)
    facts = facts_of(tmp_path)
    assert set(facts.class_names) == {"cat", name}
    assert all(line.isprintable() for line in facts.lines)
    make(tmp_path / "train", "cat")
    assert refusal(tmp_path).isprintable()
