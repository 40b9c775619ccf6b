"""The predict command: the transform of the run for files of any size, and damaged files."""

import dataclasses
import io
import itertools
import json
import os
import re
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from tiny_runs import BEST, LAST
from tiny_weights import DESCRIPTIONS, write_images, write_weights

import resnet_jax as rj
from experiments import predict
from experiments.load_run import open_run
from experiments.network import network_of
from resnet_jax.data import Transform


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Seven digits in a folder, in several sizes and modes, and a damaged one."""
    folder = tmp_path_factory.mktemp("digits")
    digits = np.round(load_digits().images[:7] * (255 / 16)).astype(np.uint8)
    for index, pixels in enumerate(digits):
        image = Image.fromarray(pixels)
        if index == 1:
            image = image.convert("RGBA")
        if index == 2:
            image = image.resize((31, 19))
        image.save(folder / f"{index}.png")
    whole = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(whole[: len(whole) // 2])
    return folder


def expected(tiny, step, path):
    """Names and probabilities of one image, the likeliest first."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    transform = Transform(source=pixels.shape, resize=12, crop=10, mean=(0.3054,), std=(0.3757,))
    logits = tiny.model.apply(tiny.variables[step], transform.center(pixels[None, ..., None]))[0]
    shares = np.exp(logits) / np.exp(logits).sum()
    return [(str(digit), shares[digit]) for digit in np.argsort(-shares)]


def run(tiny, *arguments):
    return predict.main(["--run", str(tiny.folder), "--no-compile-cache", *map(str, arguments)])


def type_in(monkeypatch, data):
    """Let standard input be some bytes."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("options", "step"), [([], BEST), (["--checkpoint", "last"], LAST)])
def test_json_lines(tiny, images, capsys, options, step):
    """All files of a folder but the damaged one, in order, three at a time."""
    options = [*options, "--format", "jsonl", "--top-k", "3", "--batch-size", "3"]
    assert run(tiny, images, *options) == 1
    output = capsys.readouterr()
    origin, error = output.err.splitlines()
    choice = "best" if step == BEST else "last"
    assert origin == f"{choice} checkpoint of {tiny.folder}: step {step}"
    assert re.fullmatch(rf"error: {images}/5.png cannot be read as an image: .+", error)
    results = [json.loads(line) for line in output.out.splitlines()]
    assert [Path(result["image"]).stem for result in results] == ["0", "1", "2", "3", "4", "6"]
    for result in results:
        wanted = expected(tiny, step, result["image"])[:3]
        assert [p["class"] for p in result["predictions"]] == [name for name, _ in wanted]
        shares = [p["probability"] for p in result["predictions"]]
        assert shares == pytest.approx([share for _, share in wanted], abs=1e-5)


def test_one_compilation_serves_every_batch(tiny, images, caplog):
    network = network_of(open_run(tiny.folder))
    paths = [images / f"{index}.png" for index in (0, 1, 2, 3, 4, 6)]
    with jax.log_compiles():
        predictions = predict.predict(network, paths, batch_size=4)
        first = list(itertools.islice(predictions, 4))
        assert "Finished XLA compilation" in caplog.text
        caplog.clear()
        rest = list(predictions)
    assert "Finished XLA compilation" not in caplog.text
    assert [prediction.image for prediction in (*first, *rest)] == paths


def test_a_table(tiny, images, capsys):
    names = ("3.png", "0.png", "1.png")
    assert run(tiny, *(images / name for name in names), "--top-k", "2") == 0
    output = capsys.readouterr()
    rows = re.findall(r"│\s+(\S*?)\s+│ (\d) +│ +(\d+\.\d\d)% │", output.out)
    for index, name in enumerate(names):
        wanted = expected(tiny, BEST, images / name)
        assert [row[0] for row in rows[2 * index : 2 * index + 2]] == [str(images / name), ""]
        for row, (digit, share) in zip(rows[2 * index :], wanted[:2], strict=False):
            assert row[1] == digit
            assert float(row[2]) == pytest.approx(100 * share, abs=0.01)
    assert output.err.count("\n") == 1


def test_paths_from_standard_input(tiny, images, capsys, monkeypatch):
    names = [images / f"{index}.png" for index in (4, 0)]
    type_in(monkeypatch, "\r\n".join(map(str, names)).encode() + b"\n\n")
    assert run(tiny, images / "1.png", "-", "--format", "jsonl") == 0
    found = [Path(result["image"]).stem for result in lines(capsys)]
    assert found == ["1", "4", "0"]


STRANGE = ("\u2028a.png", "b\x0b\x0c\x1c\x85.png", " c .png", "d\udcff.png", "日本.png")


@pytest.mark.parametrize("names", [STRANGE, (*STRANGE, "e\nf\r.png", "g.png\r")])
def test_any_name_from_standard_input(tiny, images, capsys, monkeypatch, tmp_path, names):
    """A line ends at its end alone; with --null a name may have ends of lines, too."""
    paths = [tmp_path / name for name in names]
    for path in paths:
        shutil.copyfile(images / "0.png", path)
    null = names != STRANGE
    type_in(monkeypatch, (b"\0" if null else b"\n").join(map(os.fsencode, paths)))
    assert run(tiny, "-", "--format", "jsonl", *(["--null"] if null else [])) == 0
    assert [Path(result["image"]) for result in lines(capsys)] == paths


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_table_of_any_names(tiny, images, monkeypatch, tmp_path, encoding):
    """Whatever the terminal encodes, and without a name that controls it."""
    for name in ("日本-\udcff.png", "a\n\x1b[2J[red].png"):
        shutil.copyfile(images / "0.png", tmp_path / name)
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", output)
    assert run(tiny, tmp_path, "--top-k", "1") == 0
    text = output.buffer.getvalue().decode(encoding)
    japanese = "日本" if encoding == "utf-8" else r"\u65e5\u672c"
    assert rf"{tmp_path}/{japanese}-\udcff.png" in text
    assert rf"{tmp_path}/a\n\x1b[2J[red].png" in text


def test_what_was_classified_before_an_interruption_is_shown(tiny, images, capsys, monkeypatch):
    class Interrupting(io.StringIO):
        def write(self, text):
            if "missing" in text:
                raise KeyboardInterrupt
            return super().write(text)

    monkeypatch.setattr("sys.stderr", Interrupting())
    assert run(tiny, images / "0.png", images / "none.png", images / "1.png") == 130
    output = capsys.readouterr().out
    assert f"{images}/0.png" in output
    assert f"{images}/1.png" not in output


def test_a_reader_that_has_gone(tiny, images, capsys, monkeypatch):
    """As of `| head -1`."""
    for form in ("table", "jsonl"):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as output:
            monkeypatch.setattr("sys.stdout", output)
            assert run(tiny, images / "0.png", images / "1.png", "--format", form) == 141
    monkeypatch.undo()
    assert "error" not in capsys.readouterr().err


def test_standard_error_names_the_checkpoint_and_what_was_passed_over(
    tiny, images, capsys, tmp_path
):
    shutil.copyfile(images / "0.png", tmp_path / "0.png")
    for name in ("notes.txt", "b.heic", "c.heic"):
        (tmp_path / name).touch()
    assert run(tiny, tmp_path, "--format", "jsonl", "--checkpoint", "last") == 0
    passed_over, origin = capsys.readouterr().err.splitlines()
    assert passed_over.startswith(f"{tmp_path}: passed over ")
    assert re.search(r"\b2 .*\(b\.heic, c\.heic\)", passed_over)
    assert "notes.txt" in passed_over
    assert origin == f"last checkpoint of {tiny.folder}: step {LAST}"


def test_more_pixels_are_allowed_by_name(tiny, images, capsys):
    """Two of the images have 64 pixels, and one has 589."""
    paths = [images / f"{index}.png" for index in (0, 2, 3)]
    assert run(tiny, *paths, "--max-megapixels", "0.0005", "--format", "jsonl") == 1
    output = capsys.readouterr()
    assert re.search(
        r"^error: .*2\.png has 589 pixels, more than the 500", output.err, re.MULTILINE
    )
    assert len(output.out.splitlines()) == 2
    assert run(tiny, *paths, "--max-megapixels", "0.001", "--format", "jsonl") == 0


def test_nothing_can_be_read(tiny, images, capsys):
    assert run(tiny, images / "5.png", images / "none.png") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("error: ") == 2
    assert "none.png is missing" in output.err


def test_all_classes_and_no_more(tiny, images):
    paths = [images / f"{index}.png" for index in (0, 3, 4)]
    for prediction in predict.predict(network_of(open_run(tiny.folder)), paths, top_k=99):
        names, shares = zip(*prediction.classes, strict=True)
        assert sorted(names) == list("0123456789")
        assert sum(shares) == pytest.approx(1)


def test_the_mirror_image_counts_where_it_did_in_the_test(tiny, images, tmp_path):
    run = open_run(tiny.folder)
    flipped = dataclasses.replace(run, config={**run.config, "flip_test": True})
    mirrored = tmp_path / "mirrored"
    with Image.open(images / "3.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, format="PNG")
    paths = [images / "3.png", mirrored, images / "3.png"]
    plain, other, _ = (dict(p.classes) for p in predict.predict(network_of(run), paths, top_k=10))
    averaged = dict(next(predict.predict(network_of(flipped), paths, top_k=10)).classes)
    means = {name: np.sqrt(plain[name] * other[name]) for name in plain}
    total = sum(means.values())
    assert averaged == pytest.approx({n: mean / total for n, mean in means.items()}, abs=1e-5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder / "named")
    write_weights(folder / "unnamed", names=False)
    write_images(folder / "photos", {"some": 3})
    return folder


def test_weights_without_a_run_folder(weights, capsys):
    """Names, and the transform of the weights; both can be given by hand."""
    line = [str(weights / "photos"), "--format", "jsonl", "--no-compile-cache"]
    assert predict.main(["--weights", str(weights / "named"), *line]) == 0
    output = capsys.readouterr()
    found = [json.loads(line) for line in output.out.splitlines()]
    assert output.err.splitlines()[0] == f"weights of {weights}/named"
    assert "24 px in the middle" in output.err
    pretrained = rj.load_pretrained(weights / "named")
    assert len(found) == 3
    for row in found:
        with Image.open(row["image"]) as image:
            wanted = pretrained.predict(image)
        assert [p["class"] for p in row["predictions"]] == [name for name, _ in wanted]
        assert {p["class"] for p in row["predictions"]} <= set(DESCRIPTIONS)
        shares = [p["probability"] for p in row["predictions"]]
        assert shares == pytest.approx([share for _, share in wanted], abs=1e-5)

    options = ["--size", "32", "--interpolation", "bilinear", "--dtype", "float32"]
    assert predict.main(["--weights", str(weights / "unnamed"), *line, *options]) == 0
    output = capsys.readouterr()
    other = [json.loads(line) for line in output.out.splitlines()]
    assert {p["class"] for row in other for p in row["predictions"]} <= set("0123456")
    assert "resized to 35 px (bilinear), 32 px in the middle" in output.err
    assert "the classes have no names and are shown by number" in output.err
    assert [row["predictions"][0]["probability"] for row in other] != pytest.approx(
        [row["predictions"][0]["probability"] for row in found], abs=1e-4
    )


def test_a_weight_file_needs_its_variant(weights, capsys):
    line = ["--weights", str(weights / "named" / "model.safetensors"), str(weights / "photos")]
    assert predict.main(line) == 2
    assert re.search("give `variant`", capsys.readouterr().err)
    assert predict.main([*line, "--variant", "resnet18"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.match("error: .*do not fit|error: .*missing|error: .*shape", error)


@pytest.mark.parametrize(("weights", "package"), [("a/b", "huggingface_hub"), ("w.pth", "torch")])
def test_a_package_that_is_missing_is_named_beside_the_option(
    weights, package, images, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.bias": torch.zeros(2)}, "w.pth")
    monkeypatch.setitem(sys.modules, package, None)
    line = ["--weights", weights, "--variant", "resnet18", str(images / "0.png")]
    assert predict.main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: `weights` (={weights}) needs {package} (pip install {package}")
    assert "`source`" not in error


def test_weights_or_a_run(tiny, images, weights, capsys):
    assert predict.main([str(images / "0.png")]) == 2
    assert "neither `weights` nor `run` is given" in capsys.readouterr().err
    assert run(tiny, images / "0.png", "--weights", weights / "named") == 2
    assert "are both given; leave one out" in capsys.readouterr().err


MISTAKES = {
    "": r"`images` is empty; give image files",
    "empty": r"`images` \(=.*empty\) is a folder without an image file",
    "-": r"`images` \(=-\) names no file on standard input",
    "a.png --top-k 0": r"`top_k` \(=0\) must be at least 1",
    "a.png --max-megapixels 0": r"`max_megapixels` \(=0.0\) must be above 0",
    "a.png --batch-size 0": r"`batch_size` \(=0\) must be at least 1",
    "a.png --format xml": r"`format` \(='xml'\) must be one of table, jsonl",
    "a.png --checkpoint first": r"`checkpoint` \(='first'\) must be one of best, last",
    "a.png --run nothing": r"`run` \(=.*/nothing\) does not exist",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(tiny, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    type_in(monkeypatch, b"\n")
    assert run(tiny, *line.split()) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", output.err)
    assert re.search(MISTAKES[line], output.err)
    assert output.out == ""
