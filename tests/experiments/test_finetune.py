"""The fine-tuning command: a whole tiny run and what comes after it; one line for each mistake."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import spoil
from PIL import Image
from sklearn.datasets import load_digits
from tiny_runs import random_variables
from tiny_weights import ARGS, TRANSFORM, write_images, write_weights

import resnet_jax as rj
from experiments import finetune, predict, validate
from experiments.load_run import open_run
from experiments.train import train
from resnet_jax.data import ImageTransform
from resnet_jax.models import options_from_timm

OPTIONS = [
    *("--variant", "resnet18", "--stem", "cifar", "--base-planes", "4"),
    *("--resize", "10", "--crop", "8", "--batch-size", "8"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    model = rj.resnet18(7, stem="cifar", base_planes=4)
    path = tmp_path_factory.mktemp("weights") / "grey.safetensors"
    variables = random_variables(model, 0, 1)
    rj.save_weights(path, model, variables)
    rj.save_weights(path.with_name("colour.safetensors"), model, random_variables(model, 0, 3))
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Noughts and ones, 25 of each."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for name, label in (("nought", 0), ("one", 1)):
        (folder / name).mkdir()
        for index, pixels in enumerate(digits.images[digits.target == label][:25]):
            grey = np.round(pixels * (255 / 16)).astype(np.uint8)
            Image.fromarray(grey).save(folder / name / f"{index:02d}.png")
    return folder


def run(weights, images, run_dir, *arguments):
    paths = ["--weights", str(weights), "--data-dir", str(images), "--run-dir", str(run_dir)]
    return finetune.main([*paths, *OPTIONS, *arguments])


def test_later_starts_read_no_image_file(weights, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RESNET_JAX_DATA", str(tmp_path / "data"))
    mine = shutil.copytree(images, tmp_path / "mine")
    assert run(weights, mine, tmp_path / "run", "--epochs", "1") == 0
    assert "kept the decoded images" in capsys.readouterr().err
    spoil(mine, ".png")
    assert run(weights, mine, tmp_path / "run", "--epochs", "2", "--resume") == 0
    assert "read the images that are kept decoded" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "data")
    assert run(weights, mine, tmp_path / "run2", "--no-image-cache") == 2
    assert "50 of 50 images cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_whole_run(weights, images, tmp_path, capsys):
    folder = tmp_path / "run"
    options = ["--freeze", "layer3", "--epochs", "1", "--lr", "0.1"]
    assert run(weights, images, folder, *options) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["config"]["freeze"] == "layer3"
    assert sum(map(sum, report["confusion_matrix"])) == 4
    assert (folder / "figures" / "confusion_matrix.png").exists()
    data = json.loads((folder / "data.json").read_text())
    assert data["class_names"] == ["nought", "one"]

    # What was frozen is to the bit as in the file, running statistics included.
    opened = open_run(folder, "last")
    start = rj.load_weights(opened.model, weights, head="reinit")
    for collection in ("params", "batch_stats"):
        for name, part in opened.variables[collection].items():
            pairs = zip(
                jax.tree.leaves(part), jax.tree.leaves(start[collection][name]), strict=True
            )
            learns = name in ("layer4_0", "layer4_1", "fc")
            assert all(np.array_equal(*pair) for pair in pairs) != learns, (collection, name)

    # The other tools take the run.
    capsys.readouterr()
    assert predict.main(["--run", str(folder), "--format", "jsonl", str(images / "one")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 25
    assert {frozenset(p["class"] for p in line["predictions"]) for line in lines} == {
        frozenset(("nought", "one"))
    }

    assert run(weights, images, folder, *options) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(weights, images, folder, *options, "--resume", "--freeze", "none") == 2
    assert "`freeze` was 'layer3' and is now 'none'" in capsys.readouterr().err
    evaluated = []
    again = config_of(weights, images, "--run-dir", folder, *options, "--resume", "--epochs", "2")
    train(again, evaluate=lambda *_, result, **__: evaluated.append(result))
    assert len(evaluated[0].history.valid_accuracy) == 2


def test_a_file_alone_is_taken_for_the_default_network(tmp_path, capsys):
    model = rj.resnet34(5, stem="cifar", base_planes=4)
    path = tmp_path / "weights.safetensors"
    rj.save_weights(path, model, random_variables(model, 0, 3))
    line = ["--weights", str(path), "--data-dir", ".", "--stem", "cifar", "--base-planes", "4"]
    job = finetune.parse(line).resolve()
    assert (job.model.variant, job.images.crop_mode) == ("resnet34", "squash")
    assert "does not say its network: --variant resnet34 is assumed" in capsys.readouterr().err


def config_of(weights, images, *arguments):
    paths = ["--weights", str(weights), "--data-dir", str(images)]
    return finetune.parse([*paths, *OPTIONS, *map(str, arguments)])


def test_rates():
    config = config_of("w.pth", ".", "--backbone-rate", "0.5", "--layer-decay", "0.5")
    assert config.weights.factors == {
        "head": 1.0,
        "layer4": 0.5,
        "layer3": 0.25,
        "layer2": 0.125,
        "layer1": 0.0625,
        "stem": 0.03125,
    }
    frozen = config_of("w.pth", ".", "--freeze", "backbone").weights.factors
    assert frozen.pop("head") == 1.0
    assert set(frozen.values()) == {0.0}


@pytest.mark.parametrize(
    ("file", "normalise", "mean"),
    [
        ("grey", "auto", None),
        ("grey", "digits", (0.3054,)),
        ("colour", "auto", (0.485, 0.456, 0.406)),
        ("colour", "cifar10", (0.4914, 0.4822, 0.4465)),
        ("colour", "data", None),
    ],
)
def test_channels_and_normalisation_are_the_weights(weights, images, file, normalise, mean):
    path = weights.with_name(f"{file}.safetensors")
    task, dataset, facts = config_of(path, images, "--normalise", normalise).resolve().build()
    channels = 3 if file == "colour" else 1
    assert task.train.images.shape == (42, 10, 10, channels)
    assert len(task.valid) == 4
    measured = (task.train.images / 255).mean((0, 1, 2))
    assert dataset.mean == pytest.approx(tuple(measured) if mean is None else mean)
    assert facts == (("nought", "one"), 10, dataset.mean, dataset.std)
    logits = jax.eval_shape(task.model.apply, task.variables, jnp.zeros((1, 8, 8, channels)))
    assert logits.shape == (1, 2)


def test_what_was_found_is_printed(weights, tmp_path, capsys):
    for part, count in (("Training", 4), ("TEST", 1)):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.linear_gradient("L").save(folder / f"{number}.png")
    (tmp_path / "Training" / "cat" / "5.heic").touch()
    config_of(weights, tmp_path, "--batch-size", "2").resolve().build()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"weights of {weights}: resnet18"
    assert said[1:3] == [
        "the weights do not say how to prepare images: crop_mode squash, interpolation bilinear",
        "taken from the options: resize 10, crop 8",
    ]
    assert said[3:8] == [
        f"{tmp_path} has 2 classes: cat, dog",
        "train: 6 images (cat 3, dog 3)",
        "valid: 2 images, split off the training images (cat 1, dog 1)",
        "test: 2 images (cat 1, dog 1)",
        "passed over .heic files: 1 (5.heic)",
    ]


MISTAKES = {
    "--freeze layer5": r"`freeze` \(='layer5'\) must be one of none, stem, ",
    "--normalise mine": r"`normalise` \(='mine'\) must be one of auto, imagenet, ",
    "--backbone-rate 0": r"`backbone_rate` \(=0.0\) .* --freeze backbone keeps",
    "--layer-decay 2": r"`layer_decay` \(=2.0\) must be above 0 and at most 1",
    "--optimizer lamb --nesterov": r"`nesterov` .* is not an option of lamb",
    "--lr 0": r"`lr` \(=0.0\) must be finite and above 0",
    "--weights none.safetensors": r"none.safetensors\) does not exist",
    "--weights none.txt": r"none.txt\) does not exist",
    "--normalise imagenet": r"`normalise` \(='imagenet'\) is for 3 channels, but .* take 1",
    "--base-planes 5 --stem imagenet": r"`weights` .* cannot be used for `variant` .*bn1.bias",
    "--max-megapixels 0": r"`max_megapixels` \(=0.0\) must be finite and above 0",
    "--max-megapixels 1e-5": r"50 of 50 images .* has 64 pixels, more than the 10 allowed",
    "--data-dir none": r"`data_dir` \(=none\) does not exist; expected image files in",
    "--data-dir empty": r"`data_dir` \(=empty\) has no class folders",
    "--data-dir single": r"`data_dir` \(=single\) has 1 class folder",
    "--batch-size 64": r"`batch_size` \(=64\) must not exceed the number of training images",
    "--resume": r"`run_dir` \(=.*\) holds no run to resume",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(line, weights, images, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("single/class").mkdir(parents=True)
    Image.new("L", (2, 2)).save("single/class/a.png")
    assert run(weights, images, tmp_path / "run", *line.split()) == 2
    output = capsys.readouterr()
    *found, error = output.err.splitlines()
    assert error.startswith("error: ")
    assert not any(line.startswith("Reading") for line in found)
    assert re.search(MISTAKES[line], error)
    assert output.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--data-dir", "--weights", "--run-dir"])
def test_a_path_that_is_not_utf_8_is_refused_before_anything_is_read(
    weights, images, tmp_path, capsys, option
):
    """The record of a run could not keep it; a link to it with another name works."""
    odd = tmp_path / "caf\udce9"
    target = {"--data-dir": images, "--weights": weights, "--run-dir": tmp_path / "new"}[option]
    odd.symlink_to(target)
    assert run(weights, images, tmp_path / "run", option, str(odd)) == 2
    name = option[2:].replace("-", "_")
    assert capsys.readouterr().err == (
        f"error: `{name}` (={tmp_path}/caf\\udce9) is not UTF-8, so that no file can keep it; "
        "rename it, or name a link to it\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"caf\udce9"}


def test_images_of_one_colour_are_named_before_training(weights, tmp_path, capsys):
    """Their deviation is 0, by which they cannot be divided."""
    for name in "ab":
        (tmp_path / "grey" / name).mkdir(parents=True)
        for index in range(10):
            path = tmp_path / "grey" / name / f"{index}.png"
            Image.new("L", (12, 12), 51).save(path)
    assert run(weights, tmp_path / "grey", tmp_path / "run") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "error: all pixels of the training images have the same value in channel 0 (51 of 255)"
    )
    assert "--normalise" in said
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of ten oblong pictures in colour each."""
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder, {"cat": 10, "dog": 10})
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "tiny"
    write_weights(folder)
    return folder


def job_of(source, photos, folder, *arguments):
    return finetune.parse(
        [
            *("--weights", str(source), "--data-dir", str(photos), "--run-dir", str(folder)),
            *("--batch-size", "8", *map(str, arguments), "--track"),
        ]
    )


def tune(source, photos, folder, *arguments):
    """Train without figures."""
    job = job_of(source, photos, folder, "--freeze", "layer1", *arguments)
    train(job, evaluate=lambda *_, **__: None)


@pytest.fixture(scope="module")
def tuned(source, photos, tmp_path_factory):
    """The run of an epoch, and what was printed on standard error."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        tune(source, photos, folder, "--epochs", 1)
    return folder, said.getvalue()


def test_a_source_says_network_and_transform(source, photos, tuned):
    folder, said = tuned
    config = json.loads((folder / "config.json").read_text())
    assert {name: config[name] for name in ("variant", "model_args", "resize", "crop")} == {
        "variant": "resnet18",
        "model_args": ARGS,
        "resize": 26,
        "crop": 24,
    }
    assert (config["crop_mode"], config["interpolation"]) == ("center", "bicubic")
    data = json.loads((folder / "data.json").read_text())
    assert (data["mean"], data["std"]) == (TRANSFORM["mean"], TRANSFORM["std"])
    assert said.startswith(
        f"weights of {source}: resnet18\ntaken from the weights: resize 26, crop 24, "
        "crop_mode center, interpolation bicubic, mean and std\n"
    )
    run, own = open_run(folder, "last"), ImageTransform.from_timm(TRANSFORM)
    assert run.image_transform == own
    start = rj.load_pretrained(source).variables
    for name in ("conv1_0", "conv1_1", "layer1_0"):
        for collection in ("params", "batch_stats"):
            pairs = zip(
                jax.tree.leaves(run.variables[collection].get(name, {})),
                jax.tree.leaves(start[collection].get(name, {})),
                strict=True,
            )
            assert all(np.array_equal(*pair) for pair in pairs)
    # What it was trained and validated on are the pixels of the weights' own transform.
    task, _, _ = job_of(source, photos, folder).resolve().build()
    validated = np.asarray(run.transform.center(task.valid.images))
    expected = [own(Image.open(path)) for path in sorted(photos.rglob("*.png"))]
    for image in validated:
        assert min(np.abs(image - other).max() for other in expected) < 1e-5


def test_the_tools_take_the_transform_of_the_run(photos, tuned, capsys, tmp_path):
    folder, _ = tuned
    out = tmp_path / "result.json"
    line = ["--run", str(folder), "--no-compile-cache"]
    assert validate.main([*line, "--data-dir", str(photos), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["transform"]["resize"], result["transform"]["interpolation"]) == (26, "bicubic")
    run = open_run(folder)
    capsys.readouterr()
    assert predict.main([*line, "--format", "jsonl", str(photos)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    images = [run.image_transform(Image.open(row["image"])) for row in found]
    logits = np.asarray(run.model.apply(run.variables, np.stack(images)))
    for row, (cat, dog) in zip(found, logits, strict=True):
        shares = {p["class"]: p["probability"] for p in row["predictions"]}
        assert shares["cat"] == pytest.approx(1 / (1 + np.exp(dog - cat)), abs=1e-5)


def test_a_resumed_run_keeps_what_it_took(source, photos, tuned, tmp_path, capsys):
    """Even if the weights say something else by now."""
    folder = shutil.copytree(tuned[0], tmp_path / "run")
    changed = shutil.copytree(source, tmp_path / "tiny")
    config = json.loads((changed / "config.json").read_text())
    config["pretrained_cfg"] |= {"crop_pct": 1.0, "interpolation": "bilinear", "mean": [0.1] * 3}
    (changed / "config.json").write_text(json.dumps(config))
    shutil.move(source, tmp_path / "away")
    shutil.move(changed, source)
    try:
        before = (folder / "data.json").read_text()
        tune(source, photos, folder, "--resume", "--epochs", 2)
        assert (folder / "data.json").read_text() == before
        assert open_run(folder).image_transform == open_run(tuned[0]).image_transform
        assert "taken from" not in capsys.readouterr().err
    finally:
        shutil.rmtree(source)
        shutil.move(tmp_path / "away", source)


def test_options_take_precedence(source, photos):
    more = ["--resize", "28", "--crop-mode", "squash", "--normalise", "cifar10"]
    job = job_of(source, photos, "run", *more).resolve()
    task, dataset, _ = job.build()
    assert dataset.mean == (0.4914, 0.4822, 0.4465)
    assert (job.images.crop, job.images.interpolation) == (24, "bicubic")
    squashed = ImageTransform(
        resize=28, crop=28, crop_mode="squash", interpolation="bicubic"
    ).pixels
    expected = {squashed(Image.open(path)).tobytes() for path in photos.rglob("*.png")}
    assert {image.tobytes() for image in task.train.images} < expected


def test_another_variant_contradicts_the_source(source, photos, tmp_path, capsys):
    line = ["--weights", str(source), "--data-dir", str(photos), "--variant", "resnet34"]
    assert finetune.main([*line, "--run-dir", str(tmp_path / "run"), "--batch-size", "8"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"`variant` \(=resnet34\) contradicts the config.json .* resnet18", error)
    assert not (tmp_path / "run").exists()


def test_no_weights(photos):
    job = job_of("none", photos, "run", "--resize", 12, "--crop", 10).resolve()
    task, dataset, _ = job.build()
    assert task.variables is None
    assert (job.model.variant, job.images.crop_mode) == ("resnet34", "squash")
    assert dataset.mean == pytest.approx(tuple((task.train.images / 255).mean((0, 1, 2))))
    assert set(job.weights.factors.values()) == {1.0}


PARTS = {
    "resnet50_gn": {"layers": [1, 1, 1, 1]},
    "seresnet50t": {"layers": [1, 1, 1, 1]},
    "resnetrs50": {"layers": [1, 1, 1, 1]},
    "test_resnet": {},
}


@pytest.mark.parametrize("variant", PARTS)
def test_every_kind_of_network_can_be_tuned(variant, photos, tmp_path):
    """With its statistics, if it has any, and a part of it frozen."""
    model = rj.create_model(variant, 3, **options_from_timm(PARTS[variant], variant))
    folder = tmp_path / "weights"
    folder.mkdir()
    rj.save_weights(folder / "model.safetensors", model, random_variables(model, 1, 3))
    config = {"architecture": variant, "num_classes": 3, "model_args": PARTS[variant]}
    config["pretrained_cfg"] = TRANSFORM | {"input_size": [3, 16, 16]}
    (folder / "config.json").write_text(json.dumps(config))
    job = job_of(folder, photos, "run", "--freeze", "layer2").resolve()
    task, _, _ = job.build()
    shapes = jax.eval_shape(job.model.build(2).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert jax.tree.map(jnp.shape, task.variables) == jax.tree.map(jnp.shape, shapes)
    jax.eval_shape(lambda v: task.model.apply(v, jnp.zeros((1, 16, 16, 3))), task.variables)
