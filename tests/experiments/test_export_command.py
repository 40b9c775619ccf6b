"""The export command: files that work where this package is not, and one line for each mistake."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import BEST, CONFIG, LAST, write_run
from torch_twin import to_nchw, twin_of

import resnet_jax as rj
from experiments import export
from experiments.flat import override
from experiments.recipe import Recipe
from resnet_jax.data import Transform

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
TRANSFORM = Transform(source=(8, 8), resize=12, crop=10, mean=(0.3054,), std=(0.3757,))

# With jax and nothing of ours.
STRANGER = """
import sys
import jax, numpy as np
network = jax.export.deserialize(open("model.stablehlo", "rb").read())
images = np.load("images.npy")
np.savez("logits.npz", *(np.asarray(network.call(images[:count])) for count in (1, 5)))
assert not {"resnet_jax", "experiments", "flax", "orbax"} & sys.modules.keys()
"""


def run(tiny, *arguments):
    return export.main(["--run", str(tiny.folder), *map(str, arguments)])


def expected(tiny, step):
    return np.asarray(tiny.model.apply(tiny.variables[step], TRANSFORM.center(IMAGES)))


def test_stablehlo_in_a_process_without_this_package(tiny, tmp_path, capsys):
    path = tmp_path / "model.stablehlo"
    assert run(tiny, "--format", "stablehlo", "--out", path) == 0
    assert "input: uint8[batch, 8, 8, 1]" in capsys.readouterr().out
    np.save(tmp_path / "images.npy", IMAGES)
    subprocess.run([sys.executable, "-I", "-c", STRANGER], cwd=tmp_path, check=True)
    logits = expected(tiny, BEST)
    with np.load(tmp_path / "logits.npz") as results:
        for result in results.values():
            np.testing.assert_allclose(result, logits[: len(result)], rtol=1e-4, atol=1e-5)
    description = json.loads((tmp_path / "model.stablehlo.json").read_text())
    assert description["class_names"] == list("0123456789")
    assert description["platforms"] == ["cpu", "cuda", "tpu"]
    assert (description["step"], description["crop"]) == (BEST, 10)
    assert (description["crop_mode"], description["interpolation"]) == ("squash", "bilinear")
    assert description["output"] == "float32[batch, 10] logits"


def test_safetensors_in_torch(tiny, tmp_path):
    path = tmp_path / "weights.safetensors"
    options = ("--checkpoint", "last", "--out", path)
    assert run(tiny, "--format", "safetensors", *options) == 0
    net = twin_of(tiny.model, channels=1).eval()
    net.load_state_dict(load_file(path))
    assert int(net.bn1.num_batches_tracked) == LAST
    description = json.loads((tmp_path / "weights.safetensors.json").read_text())
    assert description["mean"] == [0.3054]
    assert (description["checkpoint"], description["step"]) == ("last", LAST)
    with torch.no_grad():
        logits = net(to_nchw(TRANSFORM.center(IMAGES))).numpy()
    np.testing.assert_allclose(logits, expected(tiny, LAST), rtol=1e-4, atol=1e-5)

    # A second time it would replace the file.
    before = path.stat().st_mtime_ns
    assert run(tiny, "--format", "safetensors", *options) == 2
    assert path.stat().st_mtime_ns == before
    assert run(tiny, "--format", "safetensors", *options, "--overwrite") == 0
    assert path.stat().st_mtime_ns != before


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0], session


@pytest.mark.parametrize("fold", [False, True])
def test_onnx_takes_pixels(tiny, tmp_path, capsys, fold):
    path = tmp_path / "model.onnx"
    options = ("--fold-batch-norm",) if fold else ()
    assert run(tiny, "--format", "onnx", "--out", path, *options) == 0
    assert "input: uint8[batch, 8, 8, 1]" in capsys.readouterr().out
    logits = expected(tiny, BEST)
    for count in (1, 5):
        result, session = run_onnx(path, IMAGES[:count])
        np.testing.assert_allclose(result, logits[:count], rtol=1e-4, atol=1e-5)
    description = json.loads((tmp_path / "model.onnx.json").read_text())
    assert description["fold_batch_norm"] is fold
    texts = session.get_modelmeta().custom_metadata_map
    assert json.loads(texts["class_names"]) == list("0123456789")
    assert json.loads(texts["mean"]) == [0.3054]

    before = contents(tmp_path)
    assert run(tiny, "--format", "onnx", "--out", path) == 2
    assert contents(tmp_path) == before


def test_onnx_takes_normalised_images_channels_first(tiny, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    options = ("--input", "float32", "--output", "probabilities")
    assert run(tiny, "--format", "onnx", "--out", path, *options) == 0
    assert "input: float32[batch, 1, 10, 10]" in capsys.readouterr().out
    images = np.asarray(TRANSFORM.center(IMAGES)).transpose(0, 3, 1, 2)
    result, _ = run_onnx(path, images)
    probabilities = jax.nn.softmax(expected(tiny, BEST))
    np.testing.assert_allclose(result, probabilities, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnx"), ("stablehlo", "flatbuffers")])
def test_one_line_says_how_to_get_what_a_format_needs(
    tiny, tmp_path, capsys, monkeypatch, kind, package
):
    monkeypatch.setitem(sys.modules, package, None)
    assert run(tiny, "--format", kind, "--out", tmp_path / f"model.{kind}") == 2
    assert capsys.readouterr().err == (
        f"error: `format` (='{kind}') needs the package {package}: "
        f"pip install 'flax-resnet[{kind}]'\n"
    )
    assert not list(tmp_path.iterdir())


def test_timm_has_no_such_network(tiny, tmp_path, capsys):
    assert run(tiny, "--format", "timm", "--out", tmp_path / "digits") == 2
    error = capsys.readouterr().err
    assert "`format` (='timm'): timm does not have the network of" in error
    assert error.endswith("; take pretrained\n")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_network_that_timm_does_not_have(tiny, tmp_path):
    folder = tmp_path / "digits"
    assert run(tiny, "--format", "pretrained", "--out", folder, "--data-name", "my digits") == 0
    network = rj.load_pretrained(folder)
    logits = jax.jit(network.model.apply)(network.variables, TRANSFORM.center(IMAGES))
    np.testing.assert_allclose(logits, expected(tiny, BEST), rtol=1e-4, atol=1e-5)
    card = (folder / "README.md").read_text()
    assert "Trained on my digits with resnet_jax: the best checkpoint, step 20." in card
    assert f"- seed: {CONFIG.training.seed}" in card


def test_a_folder_for_timm(tmp_path, capsys):
    copy = SimpleNamespace(folder=tmp_path / "run")
    # The smallest that timm knows.
    config = override(Recipe(), variant="test_resnet", dataset="digits", resize=12, crop=10)
    model, variables = write_run(copy.folder, config)
    logits = np.asarray(model.apply(variables[BEST], TRANSFORM.center(IMAGES)))
    report = {"best_checkpoint": {"step": BEST, "test_accuracy": 0.5}, "test_accuracy": 0.25}
    (copy.folder / "report.json").write_text(json.dumps(report))
    folder = tmp_path / "digits"
    assert run(copy, "--format", "timm", "--out", folder) == 0
    loaded = rj.load_pretrained(folder)
    assert loaded.class_names == tuple("0123456789")
    images = np.stack([loaded.transform(image) for image in IMAGES])
    result = loaded.model.apply(loaded.variables, images)
    np.testing.assert_allclose(result, logits, rtol=1e-4, atol=1e-5)
    card = (folder / "README.md").read_text()
    assert "top-1 accuracy: 50.00%" in card
    assert "all test images of digits" in card

    # Nothing is replaced, neither of this folder nor of a run.
    before = contents(tmp_path)
    assert run(copy, "--format", "timm", "--out", folder) == 2
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert run(copy, "--format", "timm", "--out", copy.folder, "--overwrite") == 2
    assert "belongs to a run" in capsys.readouterr().err
    assert contents(tmp_path) == before
    # The accuracy of other weights is not that of these.
    assert (
        run(copy, "--format", "timm", "--out", folder, "--checkpoint", "last", "--overwrite") == 0
    )
    assert "top-1 accuracy" not in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ({"best_checkpoint": {"step": BEST, "test_accuracy": "x"}}, "'test_accuracy' of 'best_ch"),
        ({"valid_accuracy": 3}, "'valid_accuracy' is 3, not a list"),
        ({"best_checkpoint": "x"}, "'best_checkpoint' is 'x', not an object"),
    ],
)
def test_a_damaged_report(tiny, tmp_path, capsys, report, message):
    copy = copy_of(tiny, tmp_path / "run")
    (copy.folder / "report.json").write_text(json.dumps(report))
    assert run(copy, "--format", "pretrained", "--out", tmp_path / "digits") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {copy.folder / 'report.json'}: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "digits").exists()


def copy_of(tiny, folder):
    """Another run that an export may touch."""
    shutil.copytree(tiny.folder, folder)
    return SimpleNamespace(folder=folder)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_formats_of_one_run(tiny, tmp_path, capsys):
    """Each has a description of its own, and neither replaces a file of the run."""
    copy = copy_of(tiny, tmp_path / "run")
    before = contents(copy.folder)
    assert run(copy, "--format", "stablehlo") == 0
    first = contents(copy.folder)
    assert run(copy, "--format", "safetensors", "--out", copy.folder / "config.safetensors") == 0
    after = contents(copy.folder)
    assert before.items() < first.items() < after.items()
    assert {path.name for path in after.keys() - before.keys()} == {
        "model.stablehlo",
        "model.stablehlo.json",
        "config.safetensors",
        "config.safetensors.json",
    }
    assert f"best checkpoint of {copy.folder}: step {BEST}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.safetensors", "a.safetensors.json"])
def test_no_file_is_replaced(tiny, tmp_path, capsys, name):
    """Neither the file nor its description; this is known before the run is read."""
    (tmp_path / name).write_text("precious")
    line = ["--format", "safetensors", "--out", tmp_path / "a.safetensors"]
    missing = SimpleNamespace(folder=tmp_path / "nothing")
    assert run(missing, *line) == 2
    assert f"{name}) exists; --overwrite replaces it" in capsys.readouterr().err
    assert contents(tmp_path) == {tmp_path / name: b"precious"}
    assert run(tiny, *line, "--overwrite") == 0
    assert b"precious" not in contents(tmp_path).values()


def test_a_file_of_a_run_is_never_replaced(tiny, tmp_path, capsys):
    copy = copy_of(tiny, tmp_path / "run")
    before = contents(copy.folder)
    for place in ("checkpoints/20/a", "checkpoints/20/state/a", "figures/a"):
        out = copy.folder / f"{place}.safetensors"
        assert run(tiny, "--format", "safetensors", "--out", out, "--overwrite") == 2
        assert re.fullmatch(r"error: `out` .* belongs to a run; [^\n]+\n", capsys.readouterr().err)
    assert contents(copy.folder) == before


def test_both_files_or_neither(tiny, tmp_path, capsys):
    """The disk is full, or the description cannot be written, at the last moment."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        code = run(tiny, "--format", "safetensors", "--out", tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert code == 2
    assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--image-size", "20", "30"], "input: uint8[batch, 20, 30, 1]"),
        (["--input", "float32"], "input: float32[batch, 10, 10, 1]"),
    ],
)
def test_inputs(tiny, tmp_path, capsys, options, line):
    assert run(tiny, "--format", "stablehlo", "--out", tmp_path / "a.stablehlo", *options) == 0
    assert line in capsys.readouterr().out


MISTAKES = {
    "--format tf": r"`format` \(='tf'\) must be one of stablehlo, onnx, safetensors, pre",
    "--format onnx --data-name mine": r"`data_name` \(='mine'\) is of no use to `format` \(='onnx'",
    "--format stablehlo --fold-batch-norm": r"`fold_batch_norm` \(=True\) is of no use to `format`",
    "--format timm --input float32": r"`input` \(='float32'\) is of no use to `format` \(='timm'\)",
    "--format onnx": r"`out` \(=a.stablehlo\) must end in .onnx",
    "--format stablehlo --input uint4": r"`input` \(='uint4'\) must be one of uint8, float32",
    "--format stablehlo --output top": r"`output` \(='top'\) must be one of logits, ",
    "--format stablehlo --image-size 0 8": r"`height` \(=0\) must be at least 1",
    "--format safetensors --output probabilities": r"`output` .* is of no use to `format`",
    "--format stablehlo --input float32 --image-size 8 8": r"`image_size` .* is of no use to",
    "--format stablehlo --out model.bin": r"`out` \(=model.bin\) must end in .stablehlo",
    **{
        f"--format {kind} --out /dev/null/{place}": rf"`out` \(=/dev/null/{file}\) cannot be "
        "written: Not a directory$"
        for kind, place, file in (
            ("onnx", "a.onnx", "a.onnx"),
            ("stablehlo", "a.stablehlo", "a.stablehlo"),
            ("safetensors", "b/a.safetensors", "b/a.safetensors"),
            ("pretrained", "a", "a/model.safetensors"),
            ("timm", "a", "a/model.safetensors"),
        )
    },
    "--format stablehlo --checkpoint first": r"`checkpoint` \(='first'\) must be one of",
    "--format stablehlo --run nothing": r"`run` \(=.*/nothing\) does not exist",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(tiny, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(tiny, "--out", "a.stablehlo", *line.split()) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", output.err)
    assert re.search(MISTAKES[line], output.err)
    assert output.out == ""
    assert not list(tmp_path.iterdir())
