"""The validate command: exact counts on any number of devices, and which class a folder is."""

import dataclasses
import io
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_weights import DESCRIPTIONS, NAMES, TRANSFORM, write_images, write_weights

from experiments import validate
from experiments.class_names import Names, map_folders
from experiments.network import NetworkOptions
from resnet_jax.data import ImageTransform
from resnet_jax.training import Engine

COUNTS = {NAMES[0]: 6, NAMES[2]: 1, NAMES[3]: 5, NAMES[6]: 9}
OWN = ImageTransform.from_timm(TRANSFORM)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    return (folder, *write_weights(folder))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "val", COUNTS)
    return folder


def run(weights, images, *arguments):
    return validate.main(
        [
            *("--weights", str(weights), "--data-dir", str(images), "--no-compile-cache"),
            *map(str, arguments),
        ]
    )


def measured(weights, images, tmp_path, *arguments):
    out = tmp_path / "result.json"
    assert run(weights, images, "--out", out, "--overwrite", *arguments) == 0
    return json.loads(out.read_text())


def counted(model, variables, folder, transform, names=NAMES):
    """Hits at 1 and 5, losses and images of each class, by NumPy."""
    paths = sorted(path for path in folder.rglob("*.png"))
    labels = np.array([names.index(path.parent.name) for path in paths])
    images = np.stack([transform(Image.open(path)) for path in paths])
    logits = np.asarray(jax.jit(model.apply)(variables, images), np.float64)
    order = np.argsort(-logits, axis=1)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(shares[np.arange(len(labels)), labels])
    return {
        name: {
            "images": int((labels == index).sum()),
            "top1": int((order[labels == index, 0] == index).sum()),
            "top5": int((order[labels == index, :5] == index).sum()),
            "loss": losses[labels == index].sum(),
        }
        for index, name in enumerate(names)
        if index in labels
    }


@pytest.fixture(scope="module")
def own(weights, images):
    _, model, variables = weights
    return counted(model, variables, images / "val", OWN)


@pytest.mark.parametrize(("devices", "batch"), [(1, 8), (8, 16)])
def test_exact_counts_with_a_ragged_tail(weights, images, own, tmp_path, capsys, devices, batch):
    folder, rows = weights[0], own
    result = measured(folder, images, tmp_path, "--num-devices", devices, "--batch-size", batch)
    total = {key: sum(row[key] for row in rows.values()) for key in ("top1", "top5", "loss")}
    assert result["images"] == 21
    assert 0 < total["top1"] < total["top5"] < 21  # so that nothing else gives the same
    assert (result["top1_images"], result["top5_images"]) == (total["top1"], total["top5"])
    assert (result["top1"], result["top5"]) == (total["top1"] / 21, total["top5"] / 21)
    assert result["loss"] == pytest.approx(total["loss"] / 21, rel=1e-5)
    for name, row in rows.items():
        index = NAMES.index(name)
        assert result["per_class"][name] == {
            "class": DESCRIPTIONS[index],
            "index": index,
            "images": row["images"],
            "top1": row["top1"] / row["images"],
            "top5": row["top5"] / row["images"],
        }
    assert result["transform"] == json.loads(json.dumps(dataclasses.asdict(OWN)))
    assert (result["mapped_by"], result["num_devices"]) == ("name", devices)
    output = capsys.readouterr()
    assert f"top-1 {total['top1'] / 21:.2%}, top-5 {total['top5'] / 21:.2%}" in output.out
    assert "24 px in the middle" in output.err
    assert "21 images in 4 class folders, of the network's 7 classes; mapped by their names" in (
        output.err
    )


OVERRIDES = {
    "--size 28": {"resize": 31, "crop": 28},
    "--crop-pct 1 --interpolation bilinear": {"resize": 24, "interpolation": "bilinear"},
    "--crop-mode squash --size 28 --crop-pct 0.95": {
        "crop_mode": "squash",
        "resize": 29,
        "crop": 28,
    },
    "--test-size": {"resize": 28, "crop": 28},
}


@pytest.mark.parametrize("line", OVERRIDES)
def test_overrides_change_the_transform_alone(weights, images, own, tmp_path, line):
    folder, model, variables = weights
    arguments = ("--num-devices", 1, *line.split())
    result = measured(folder, images, tmp_path, *arguments)
    transform = dataclasses.replace(OWN, **OVERRIDES[line])
    changed = counted(model, variables, images / "val", transform)
    losses = [sum(row["loss"] for row in rows.values()) / 21 for rows in (changed, own)]
    assert result["loss"] == pytest.approx(losses[0], rel=1e-5)
    assert result["loss"] != pytest.approx(losses[1], rel=1e-4)


def test_sorted_order_where_no_folder_has_a_name(tmp_path, images, capsys):
    model, variables = write_weights(tmp_path / "tiny", names=False)
    places = [f"class {index}" for index in range(7)]
    write_images(tmp_path / "images", dict.fromkeys(places, 2), seed=1)
    result = measured(tmp_path / "tiny", tmp_path / "images", tmp_path)
    rows = counted(model, variables, tmp_path / "images", OWN, places)
    assert result["top1_images"] == sum(row["top1"] for row in rows.values())
    assert result["mapped_by"] == "sorted order"
    assert "mapped by sorted order alone" in capsys.readouterr().err
    # Fewer folders have no order.
    assert run(tmp_path / "tiny", images) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search("4 of 4 class folders name no class of the network, .* without names", error)
    assert all(name in error for name in COUNTS)
    # A file has the names.
    lines = "\n".join(f"{name} {text}" for name, text in zip(NAMES, DESCRIPTIONS, strict=True))
    (tmp_path / "map.txt").write_text(lines + "\n")
    result = measured(tmp_path / "tiny", images, tmp_path, "--class-map", tmp_path / "map.txt")
    assert result["mapped_by"] == "name"
    (tmp_path / "map.txt").write_text("a\nb\n")
    assert run(tmp_path / "tiny", images, "--class-map", tmp_path / "map.txt") == 2
    assert re.search("has 2 names, but the network has 7 classes", capsys.readouterr().err)


NAMED = Names.of(DESCRIPTIONS, NAMES)


@pytest.mark.parametrize(
    ("folders", "indices"),
    [
        (["n00000006", "n00000000"], [6, 0]),
        (["tench, Tinca tinca", "ibis"], [0, 4]),
        (["Tinca tinca", "tench"], None),
        (["crane"], None),
        (["hen", "n00000003"], None),
        (list("abcdefg"), [0, 1, 2, 3, 4, 5, 6]),
        (["hen", *"abcdef"], None),
        (["Hen"], None),
    ],
)
def test_which_class_a_folder_is(folders, indices):
    """A description and a number are names; a name of two classes is none."""
    if indices is None:
        with pytest.raises(ValueError, match="class folders"):
            map_folders(folders, NAMED)
    else:
        assert list(map_folders(folders, NAMED).indices.values()) == indices


def test_unreadable_files(weights, tmp_path, capsys):
    folder, *_ = weights
    write_images(tmp_path, {NAMES[0]: 3, NAMES[1]: 2})
    damaged = tmp_path / NAMES[0] / "1.png"
    whole = damaged.read_bytes()
    out = tmp_path / "result.json"
    for contents, message in ((b"nothing", "1 of 5 images cannot be used"), (whole[:-99], "1.png")):
        damaged.write_bytes(contents)
        assert run(folder, tmp_path, "--out", out) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert message in output.err.splitlines()[-1]
        assert not out.exists()
    assert "--skip-unreadable leaves such files out" in output.err
    assert run(folder, tmp_path, "--out", out, "--skip-unreadable") == 1
    assert re.search(r"error: .*1\.png cannot be read as an image", capsys.readouterr().err)
    result = json.loads(out.read_text())
    assert (result["images"], len(result["unreadable"])) == (4, 1)
    assert result["per_class"][NAMES[0]]["images"] == 2


def test_a_run_has_its_own_transform(tiny, tmp_path, capsys):
    """That of its test images, and its names of classes."""
    write_images(tmp_path / "images", {"3": 4, "8": 3})
    out = tmp_path / "result.json"
    line = ["--run", str(tiny.folder), "--data-dir", str(tmp_path / "images"), "--out", str(out)]
    assert validate.main([*line, "--no-compile-cache", "--checkpoint", "last"]) == 0
    result = json.loads(out.read_text())
    transform = ImageTransform(
        resize=12, crop=10, crop_mode="squash", mean=(0.3054,), std=(0.3757,)
    )
    rows = counted(
        tiny.model, tiny.variables[40], tmp_path / "images", transform, list("0123456789")
    )
    assert result["loss"] == pytest.approx(sum(r["loss"] for r in rows.values()) / 7, rel=1e-5)
    assert "last checkpoint of" in capsys.readouterr().err
    assert validate.main([*line, "--no-compile-cache"]) == 2
    assert "exists; --overwrite replaces it" in capsys.readouterr().err


def test_logits_that_are_not_finite(weights, images):
    network = NetworkOptions(weights=str(weights[0])).build()
    broken = jax.tree.map(lambda leaf: leaf * np.nan, network.variables)
    paths = sorted(map(str, (images / "val").rglob("*.png")))
    with pytest.raises(ValueError, match=r"loss of 21 of 21 images is not finite"):
        validate.validate(
            dataclasses.replace(network, variables=broken),
            paths,
            np.zeros(21, np.int32),
            engine=Engine.create(devices=jax.devices()[:1]),
            batch_size=8,
        )


MISTAKES = {
    "--run runs/x": r"`weights` \(=.*\) and `run` \(=runs/x\) are both given; leave one out",
    "--checkpoint last": r"`checkpoint` \(=last\) is of no use to `weights`",
    "--crop-pct 0": r"`crop_pct` \(=0.0\) must be above 0 and at most 1",
    "--crop-pct nan": r"`crop_pct` \(=nan\) must be above 0",
    "--size 0": r"`size` \(=0\) must be at least 1",
    "--interpolation nearest": r"`interpolation` \(='nearest'\) must be one of auto, bilinear",
    "--batch-size 0": r"`batch_size` \(=0\) must be at least 1",
    "--num-devices 9": r"`num_devices` \(=9\) must be from 1 to 8",
    "--max-megapixels 0": r"`max_megapixels` \(=0.0\) must be above 0",
    "--part other": r"`part` \(='other'\) must be one of auto, train, valid, test",
    "--part test": r"has val/ but no test/",
    "--data-dir none": r"`data_dir` \(=none\) does not exist",
    "--out .": r"`out` \(=.\) is a folder",
    "--out /dev/null/a.json": r"`out` \(=/dev/null/a.json\) cannot be written: Not a directory",
    "--weights none.pth --variant resnet18": r"none.pth\) does not exist",
    "--variant resnet9": r"`variant` \(='resnet9'\) must be one of",
    "--class-map none.txt": r"none.txt: No such file",
    "--prefix net.": r"net\.",
}


def test_the_result_is_printed_before_it_is_written(weights, images, monkeypatch, tmp_path):
    """So that a disk that is full by then costs nothing."""
    out = tmp_path / "result.json"

    class Watching(io.StringIO):
        def write(self, text):
            assert "top-1" not in text or not out.exists()
            return super().write(text)

    output = Watching()
    monkeypatch.setattr("sys.stdout", output)
    assert run(weights[0], images, "--num-devices", 1, "--out", out) == 0
    assert "top-1" in output.getvalue()
    assert out.exists()


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(line, weights, images, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(weights[0], images, *line.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1].startswith("error: ")
    assert re.search(MISTAKES[line], output.err.splitlines()[-1])
    assert "Checking" not in output.err


def test_neither_weights_nor_run(images, capsys):
    assert validate.main(["--data-dir", str(images)]) == 2
    assert re.search(r"neither `weights` nor `run` is given", capsys.readouterr().err)
    line = ["--run", "x", "--data-dir", str(images), "--test-size"]
    assert validate.main(line) == 2
    assert re.search(r"`test_size` \(=True\) is of no use to `run`", capsys.readouterr().err)
    assert Path(images).is_dir()
