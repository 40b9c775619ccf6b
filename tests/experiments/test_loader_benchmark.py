"""The loader benchmark: both sides read the same files, and every source has its job."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import loader
from experiments.benchmarks.photographs import WRITERS, encoded
from experiments.benchmarks.torch_photographs import PhotographDataset
from resnet_jax.data import RandomResizedCrop

OPTIONS = {"workers": (0,), "batch": 8, "passes": 2, "side": 16}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "kept"))
    for source, write in WRITERS.items():
        write(tmp_path / source, encoded(48, 64))
    return tmp_path


def test_a_pass_of_each_source_reads_every_image(root):
    jobs = loader.our_jobs(root=root, sources=list(WRITERS), **OPTIONS)
    assert set(jobs) == {*(f"{source}, 0" for source in WRITERS), "folder draft, 0"}
    for job in jobs.values():
        with job() as batches:
            assert sum(map(len, batches)) == 2 * (48 - 2 * 4)  # a class gives 4 to each other part
    measured = loader.measure(jobs["tar, 0"])
    assert measured.rate > 0
    assert measured.cpu >= 0


def test_too_few_images_are_refused(capsys):
    with pytest.raises(SystemExit):
        loader.main(["--images", "64", "--passes", "1"])
    assert "--images (=64) times --passes (=1) must be" in capsys.readouterr().err


def test_the_command_compares_both_sides_and_draft(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "kept"))
    options = ["--sources", "folder", "--workers", "0", "--images", "48", "--width", "64"]
    options += ["--passes", "3", "--batch", "8", "--repeats", "1"]
    assert loader.main([*options, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert {job: set(sides) for job, sides in figures.items()} == {
        "folder, 0": {"ours", "torch"},
        "folder draft, 0": {"ours"},
    }
    assert all(side["memory"] > 0 for sides in figures.values() for side in sides.values())
    assert "draft with 0 workers: " in capsys.readouterr().out


def test_a_pass_of_torch_reads_every_image(root):
    with loader.torch_jobs(root=root, **OPTIONS)["folder, 0"]() as batches:
        shapes = [tuple(batch.shape) for batch in batches]
    assert shapes == [(8, 3, 16, 16)] * 12


def test_the_files_are_photographs_of_the_size_that_is_asked_for():
    first, second = (Image.open(io.BytesIO(data)) for data in encoded(2, 100))
    assert (first.format, first.size) == ("JPEG", (100, 75))
    assert np.asarray(first).std() > 30
    assert (np.asarray(first) != np.asarray(second)).any()


def test_both_sides_cut_out_parts_of_the_same_distribution(root):
    """The mean of many crops is the same for both, since their boxes are drawn alike."""
    path = next((root / "folder").rglob("*.jpg"))
    dataset = PhotographDataset([path], 1, 8)
    theirs = np.mean([dataset[0].numpy().mean(axis=2) for _ in range(1500)], axis=0)
    crop, picture = RandomResizedCrop(size=8), Image.open(path).convert("RGB")
    generator = np.random.default_rng(0)
    ours = np.mean(
        [
            crop.apply(picture, crop.draw(generator, *picture.size)).mean(axis=1)
            for _ in range(1500)
        ],
        axis=0,
    )
    # Rows, which flips leave alone; 1,500 crops leave a few grey levels of chance.
    np.testing.assert_allclose(ours.T, theirs, atol=6)
