"""Folders of networks: complete or not at all, and the same network when they are read."""

import json
from functools import partial

import jax
import numpy as np
import pytest

import resnet_jax as rj
from resnet_jax.data import ImageTransform
from resnet_jax.models import ConvStem
from resnet_jax.pretrained import ModelCard, is_in_timm

from .conftest import assert_same, make_variables

FILES = ["README.md", "config.json", "model.safetensors"]
TRANSFORM = ImageTransform(resize=73, crop=64, interpolation="bicubic", mean=(0.5,) * 3)


@pytest.fixture(scope="module")
def small():
    """A row of the table that timm has, with fewer blocks."""
    model = rj.create_model("resnet18", 3, layers=(1, 1, 1, 1))
    return model, make_variables(model)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_read_as_it_was_written(small, tmp_path):
    folder = tmp_path / "new" / "folder"
    card = ModelCard(license="mit")
    rj.save_pretrained(folder, *small, transform=TRANSFORM, class_names=["a", "b", "ü"], card=card)
    assert names(folder) == FILES
    assert names(folder.parent) == ["folder"]
    loaded = rj.load_pretrained(folder)
    assert loaded.model == small[0]
    assert_same(loaded.variables, small[1])
    assert loaded.transform == TRANSFORM
    assert loaded.class_names == ("a", "b", "ü")
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "resnet18"
    assert config["model_args"] == {"layers": [1, 1, 1, 1]}
    assert (config["num_classes"], config["num_features"]) == (3, 512)
    assert config["pretrained_cfg"] == {
        "custom_load": False,
        "input_size": [3, 64, 64],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.87,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": list(TRANSFORM.std),
        "num_classes": 3,
        "pool_size": None,
        "first_conv": "conv1",
        "classifier": "fc",
        "license": "mit",
    }


@pytest.mark.parametrize("variant", ["resnet20", "preact_resnet18", "wide_resnet16_8"])
def test_networks_for_cifar(variant, tmp_path):
    stages = len(rj.VARIANTS[variant].layers)
    model = rj.create_model(variant, layers=(1,) * stages)
    variables = make_variables(model)
    transform = ImageTransform(resize=32, crop=32)
    rj.save_pretrained(tmp_path / "net", model, variables, transform=transform)
    loaded = rj.load_pretrained(tmp_path / "net")
    assert loaded.config["architecture"] == variant
    assert loaded.transform == transform
    assert "timm" not in (tmp_path / "net" / "README.md").read_text()
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(
        jax.jit(loaded.model.apply)(loaded.variables, images),
        jax.jit(model.apply)(variables, images),
    )


@pytest.mark.parametrize("crop", [1, 32, 176, 224, 237, 288, 299])
def test_every_resize_survives(crop):
    from resnet_jax.pretrained.timm_form import _share

    for resize in range(crop, crop + 120):
        config = {"input_size": (3, crop, crop), "crop_pct": _share(crop, resize)}
        assert ImageTransform.from_timm(config).resize == resize


@pytest.mark.parametrize(
    ("options", "arguments", "channels"),
    [
        ({"replace_stride_with_dilation": (False, True, True)}, {"output_stride": 8}, 3),
        ({}, {"in_chans": 1}, 1),
    ],
)
def test_altered_networks(tmp_path, options, arguments, channels):
    options |= {"layers": (1, 1, 1, 1), "dtype": np.float32}
    model = rj.create_model("resnet26" if channels == 3 else "resnet18", 4, **options)
    variables = make_variables(model, channels)
    transform = ImageTransform(mean=(0.5,) * channels, std=(0.2,) * channels)
    rj.save_pretrained(tmp_path / "net", model, variables, transform=transform)
    loaded = rj.load_pretrained(tmp_path / "net")
    assert loaded.config["model_args"] == {"layers": [1, 1, 1, 1], **arguments}
    assert_same(loaded.variables, variables)
    assert loaded.transform == transform
    assert loaded.class_names is None
    x = np.random.default_rng(0).random((1, 48, 48, channels), np.float32)
    np.testing.assert_array_equal(
        jax.jit(loaded.model.apply)(loaded.variables, x), jax.jit(model.apply)(variables, x)
    )


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("resnet18", {"stem": "cifar", "base_planes": 4}),
        ("resnet18", {"base_planes": (4, 8, 8, 16), "layers": (1, 1, 1, 1)}),
        ("resnet20", {"shortcut": "projection", "layers": (1, 1, 1)}),
        ("resnet26", {"stem": "cifar", "base_planes": 8, "attention": "se", "groups": 2}),
        ("resnet26", {"stem": "cifar", "replace_stride_with_dilation": (True, False, False)}),
        ("wide_resnet16_8", {"base_planes": 16, "dropout": 0.3}),
    ],
)
def test_networks_that_timm_does_not_have(tmp_path, variant, options):
    model = rj.create_model(variant, 3, **options)
    assert not is_in_timm(model)
    variables = make_variables(model)
    transform = ImageTransform(resize=32, crop=32)
    rj.save_pretrained(tmp_path / "net", model, variables, transform=transform)
    assert "timm" not in (tmp_path / "net" / "README.md").read_text()
    loaded = rj.load_pretrained(tmp_path / "net")
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(
        jax.jit(loaded.model.apply)(loaded.variables, images),
        jax.jit(model.apply)(variables, images),
    )
    for name, value in options.items():
        assert getattr(loaded.model, name) == value


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"stem": "vgg"}, r"`stem` \(='vgg'\) is what no network has"),
        ({"base_planes": 1e9}, r"`base_planes` \(=1000000000.0\) is what no network has"),
        ({"layers": [10**9]}, r"`layers` \(=\[1000000000\]\) is what no network has"),
        ({"depth": 3}, r"`resnet_jax` has 'depth'; this version knows layers, groups"),
        ([1], r"`resnet_jax` \(=\[1\]\) must be an object"),
    ],
)
def test_foreign_entries_of_options(tmp_path, small, entry, message):
    rj.save_pretrained(tmp_path, *small, transform=TRANSFORM)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resnet_jax": entry}))
    with pytest.raises(ValueError, match=message):
        rj.load_pretrained(tmp_path)


def test_networks_that_no_configuration_describes(tmp_path):
    model = rj.resnet18(3, stem=partial(ConvStem, width=8))
    with pytest.raises(ValueError, match=r"`model` is none that a `config.json` can describe: `st"):
        rj.save_pretrained(
            tmp_path / "net", model, make_variables(model), transform=ImageTransform()
        )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["a"]}, r"`class_names` has 1 names; .* each of the 3 classes"),
        ({"transform": ImageTransform(mean=(0.5,), std=(0.5,))}, r"the 3 channels of the weights"),
        ({"card": ModelCard(metrics={"top-1 accuracy": 76.1})}, r"must be a fraction"),
    ],
)
def test_mistakes(small, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        rj.save_pretrained(tmp_path / "net", *small, **{"transform": TRANSFORM, **options})
    assert names(tmp_path) == []


def test_other_files_stay(small, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"holds 2 files, such as config\.json; overwrite=T"):
        rj.save_pretrained(tmp_path, *small, transform=TRANSFORM)
    assert names(tmp_path) == ["config.json", "notes.txt"]
    rj.save_pretrained(tmp_path, *small, transform=TRANSFORM, overwrite=True)
    assert names(tmp_path) == sorted([*FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "precious"
    assert_same(rj.load_pretrained(tmp_path).variables, small[1])
    with pytest.raises(FileExistsError, match="is no folder"):
        rj.save_pretrained(tmp_path / "notes.txt", *small, transform=TRANSFORM, overwrite=True)


def test_the_working_folder_and_a_link(small, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    rj.save_pretrained(".", *small, transform=TRANSFORM)
    assert names(tmp_path / "here") == FILES
    (tmp_path / "link").symlink_to("here")
    rj.save_pretrained(tmp_path / "link", *small, transform=TRANSFORM, overwrite=True)
    assert names(tmp_path) == ["here", "link"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_all_as_it_was(small, tmp_path, exists):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "net"
    if exists:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            rj.save_pretrained(folder, *small, transform=TRANSFORM, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(folder / "model.safetensors")
    assert names(tmp_path) == (["net"] if exists else [])
    if exists:
        assert (folder / "config.json").read_text() == "{}"


def test_the_card(small, tmp_path):
    card = ModelCard(
        title="Pets",
        description="Cats and others.",
        license="apache-2.0",
        datasets=["imagenet-1k", 'a "quoted": name'],
        metrics={"top-1 accuracy": 0.7613, "top-5 accuracy": 0.9286},
        measured="On the 50000 images of the validation set, by `experiments.validate`.",
    )
    rj.save_pretrained(tmp_path / "net", *small, transform=TRANSFORM, card=card)
    text = (tmp_path / "net/README.md").read_text()
    yaml = pytest.importorskip("yaml")
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "tags": ["image-classification", "timm", "resnet"],
        "pipeline_tag": "image-classification",
        "library_name": "timm",
        "license": "apache-2.0",
        "datasets": ["imagenet-1k", 'a "quoted": name'],
        "metrics": ["accuracy"],
    }
    assert body.startswith("# Pets\n\nCats and others.\n")
    assert "- top-1 accuracy: 76.13%\n- top-5 accuracy: 92.86%\n\nOn the 50000 images" in body
    rj.save_pretrained(tmp_path / "plain", *small, transform=TRANSFORM)
    assert "license" not in (tmp_path / "plain/README.md").read_text()
