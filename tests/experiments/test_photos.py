"""Recipes on files of your own: decoded into memory, or read when they are needed."""

import io
import json
import tarfile

import jax
import numpy as np
import pytest
from pictures import encoded, spoil, write_folder
from PIL import Image
from tiny_runs import CONFIG, create_small_model, write_run

from experiments import cifar_resnet34
from experiments.flat import override
from experiments.load_run import open_run
from experiments.recipe import Recipe
from resnet_jax.data import Arrays, ImageStream
from resnet_jax.run import DataFacts

OPTIONS = [
    *("--dataset", "folder", "--resize", "12", "--crop", "8", "--epochs", "1"),
    *("--batch-size", "16", "--eval-batch-size", "16", "--track", "--run-dir", "run"),
]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "data"))


def build(root, **options):
    job = override(Recipe(), dataset="folder", data_dir=root, resize=12, crop=8, batch_size=16)
    job = override(job, **options)
    job.check()
    return job.build(create_small_model)


def test_a_small_folder_is_decoded_with_its_proportions(tmp_path):
    built = build(write_folder(tmp_path / "photos"))
    train = built.task.train
    assert isinstance(train, Arrays)
    assert train.images.shape == (20, 12, 12, 3)
    streamed = build(tmp_path / "photos", stream="always", least_area=1.0)
    assert isinstance(streamed.task.train, ImageStream)
    # Both see the same middle of the same images.
    np.testing.assert_array_equal(
        built.dataset.test.images[:, 2:10, 2:10], np.asarray(streamed.dataset.test.images)
    )
    np.testing.assert_array_equal(train.labels, streamed.task.train.labels)


def test_a_folder_that_is_too_large_is_streamed(tmp_path, capsys):
    root = write_folder(tmp_path / "photos")
    size = 24 * 12 * 12 * 3 / 1e9
    assert isinstance(build(root, memory_gigabytes=size).task.train, Arrays)
    built = build(root, memory_gigabytes=size * 0.99, draft=True, workers=3)
    stream = built.task.train
    assert isinstance(stream, ImageStream)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("2 classes; images: 20 train, 2 valid, 2 test; read when they are needed")
    assert (stream.random.size, stream.random.scale) == (8, (0.08, 1.0))
    assert (stream.draft, stream.workers) == (True, 3)
    assert built.task.valid.random is None


def test_files_decide_the_fingerprint(tmp_path):
    root = write_folder(tmp_path / "photos")
    prints = {build(root, stream=stream).dataset.fingerprint for stream in ("always", "never")}
    (root / "cat" / "000.jpg").write_bytes(encoded(77))
    prints |= {build(root, stream=stream).dataset.fingerprint for stream in ("always", "never")}
    assert len(prints) == 4


def test_later_starts_read_no_image_file(tmp_path, capsys):
    root = write_folder(tmp_path / "photos")
    options = [*OPTIONS, "--data-dir", str(root)]

    def run(*arguments):
        code = cifar_resnet34.main([*options, *arguments], create_model=create_small_model)
        return code, capsys.readouterr().err

    code, said = run()
    assert code == 0
    assert f"kept the decoded images (0.0 MB) in {tmp_path / 'data' / 'images'}" in said
    spoil(root)
    code, said = run("--resume", "--epochs", "2")
    assert code == 0
    assert "read the images that are kept decoded in" in said
    code, said = run("--resume", "--epochs", "3", "--no-image-cache")
    assert code == 2
    assert "24 of 24 images cannot be used" in said


def test_without_the_image_cache_nothing_is_kept(tmp_path):
    build(write_folder(tmp_path / "photos"), image_cache=False)
    assert not (tmp_path / "data").exists()


def write_imagenet(root, **options):
    """Write images in two parts, as those of ImageNet are: `train/` and `val/`."""
    write_folder(root / "train", **options)
    return write_folder(root / "val", per_class=3).parent


@pytest.mark.parametrize("stream", ["always", "never"])
def test_of_two_parts_the_second_is_for_the_test_too(tmp_path, stream, capsys):
    root = write_imagenet(tmp_path / "photos")
    built = build(root, stream=stream, image_cache=False)
    assert built.dataset.test is built.task.valid
    assert (len(built.task.train), len(built.task.valid)) == (24, 6)
    said = capsys.readouterr().err
    assert ("6 valid and test" if stream == "always" else "test: 6 images, those of valid") in said
    built = build(root, stream=stream, test_part="split", image_cache=False)
    assert [len(part) for part in (built.task.train, built.task.valid, built.dataset.test)] == [
        *(22, 6, 2)
    ]


def test_a_test_part_of_its_own_is_taken(tmp_path):
    root = write_imagenet(tmp_path / "photos")
    write_folder(root / "test", per_class=4)
    for stream in ("always", "never"):
        built = build(root, stream=stream, image_cache=False)
        assert [len(part) for part in (built.task.train, built.task.valid, built.dataset.test)] == [
            *(24, 6, 8)
        ]


@pytest.mark.parametrize("stream", ["always", "never"])
def test_the_report_says_that_it_is_of_the_validation_images(tmp_path, stream, capsys):
    write_imagenet(tmp_path / "photos")
    arguments = [*OPTIONS, "--data-dir", "photos", "--stream", stream]
    assert cifar_resnet34.main(arguments, create_model=create_small_model) == 0
    said = "The test images are the validation images, by which the best epoch was chosen"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "run" / "report.html").read_text()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["tests_on_valid"] is True
    assert report["test_accuracy"] == pytest.approx(report["valid_accuracy"][-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "`data_dir` (=None) must be the folder of your images"),
        ("--data-dir nowhere", "does not exist"),
        ("--data-dir . --archive x", "`archive` (=x) is of no use"),
        ("--data-dir . --least-area 0", "`least_area` (=0.0) must be above 0"),
        ("--data-dir . --stream always --repeats 0", "`repeats` (=0) must be at least 1"),
        ("--data-dir . --repeats 4", "`repeats` (=4) is for `stream` always, not auto"),
        ("--data-dir . --workers -1", "`workers` (=-1) must be at least 0"),
        ("--data-dir . --memory-gigabytes -1", "`memory_gigabytes` (=-1.0) must be finite"),
        ("--data-dir . --stream sometimes", "`stream` (='sometimes') must be one of auto,"),
        ("--data-dir . --recipe tutorial", "`recipe` (='tutorial') is for the named data sets"),
        ("--dataset digits --stream always", "`stream` (='always') is for `dataset` folder"),
    ],
)
def test_mistakes_are_said_in_one_line(arguments, message, capsys, tmp_path):
    assert cifar_resnet34.main([*OPTIONS, *arguments.split()]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_recipe_trains_on_tar_files_and_reports(tmp_path):
    """From the files to the report, streamed; the run says how to prepare other images."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "classes.txt").write_text("cat\ndog\n")
    with tarfile.open(tmp_path / "photos" / "all.tar", "w") as tar:
        for number in range(40):
            for name, data in (
                (f"{number}.cls", str(number % 2).encode()),
                (f"{number}.jpg", encoded(number)),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    arguments = [*OPTIONS, "--data-dir", "photos", "--augment", "flip"]
    assert cifar_resnet34.main(arguments, create_model=create_small_model) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert set(report["per_class_accuracy"]) == {"cat", "dog"}
    assert np.sum(report["confusion_matrix"]) == 4
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["dataset"], config["crop_mode"]) == ("folder", "center")


def test_a_run_prepares_other_images_as_it_prepared_its_own(tmp_path):
    config = override(CONFIG, dataset="folder", resize=12, crop=8, interpolation="bicubic")
    facts = DataFacts(("cat", "dog"), 12, (0.5,) * 3, (0.2,) * 3)
    write_run(tmp_path / "run", config, classes=2, channels=3, data=facts)
    run = open_run(tmp_path / "run")
    stream = build(write_folder(tmp_path / "photos"), stream="always", interpolation="bicubic")
    path = stream.task.valid.records.name(0)
    with Image.open(path) as image:
        np.testing.assert_array_equal(
            run.image_transform.pixels(image), stream.task.valid.images[0]
        )


def test_training_and_evaluation_have_crops_of_their_own(tmp_path):
    root = write_folder(tmp_path / "photos")
    for options in ({}, {"least_area": 1.0}, {"stream": "never", "image_cache": False}):
        chosen = {"stream": "always", **options}
        built = build(root, crop=6, eval_crop=10, **chosen)
        train, task = built.task.train, built.task
        assert task.valid.images.shape[1:3] == built.dataset.test.images.shape[1:3]
        if chosen["stream"] == "always":
            assert built.dataset.test.images.shape[1:3] == (10, 10)
            rows = np.stack([train.cropped(row, 0, 0) for row in range(4)])
        else:
            rows = train.images[:4]
        keys = jax.random.split(jax.random.key(0), 4)
        labels = train.labels[:4]
        images, _ = task.prepare(rows, labels, keys)
        assert images.shape == (4, 6, 6, 3)
        images, _ = task.prepare_valid(built.task.valid.images[:2], labels[:2], keys[:2])
        assert images.shape == (2, 10, 10, 3)


@pytest.mark.parametrize("stream", ["always", "never"])
def test_sizes_grow_in_equal_parts_of_the_epochs(tmp_path, stream):
    root = write_folder(tmp_path / "photos")
    options = {"stream": stream, "progressive": (4, 6), "epochs": 7, "image_cache": False}
    task = build(root, **options).task
    assert [(phase.first_epoch, phase.side) for phase in task.phases] == [(0, 4), (3, 6), (5, 8)]
    keys = jax.random.split(jax.random.key(0), 2)
    for phase in task.phases:
        train = task.train
        rows = (
            np.stack([train.resized(phase.side).cropped(row, 0, 0) for row in range(2)])
            if stream == "always"
            else train.images[:2]
        )
        images, _ = phase.prepare(rows, task.train.labels[:2], keys)
        assert images.shape == (2, phase.side, phase.side, 3)


def test_a_run_of_growing_images_reports_and_predicts_at_the_size_of_its_evaluation(
    tmp_path, capsys
):
    write_folder(tmp_path / "photos")
    sizes = ["--progressive", "4", "--eval-crop", "10", "--epochs", "2", "--stream", "always"]
    arguments = [*OPTIONS, "--data-dir", "photos", *sizes]
    assert cifar_resnet34.main(arguments, create_model=create_small_model) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["image_sizes"] == [4, 8]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "2 epochs of training, 1 on images of 4 px, 1 on images of 8 px." in page
    printed = capsys.readouterr().out
    assert "Epoch: 001/002 | 4 px | Train: " in printed
    assert "Epoch: 002/002 | 8 px | Train: " in printed
    # Another number of epochs would have been other sizes.
    again = [*arguments, "--resume", "--epochs", "4"]
    assert cifar_resnet34.main(again, create_model=create_small_model) == 2
    assert "`epochs` was 2 and is now 4" in capsys.readouterr().err
