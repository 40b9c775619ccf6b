"""The predict command: the transform of the run for files of any size, and damaged files."""

import dataclasses
import io
import itertools
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tiny_runs import BEST, LAST

from experiments import predict
from experiments.load_run import open_run
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


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("options", "step"), [([], BEST), (["--checkpoint", "last"], LAST)])
def test_json_lines(tiny, images, capsys, options, step):
    """All files of a folder but the damaged one, in order, three at a time."""
    options = [*options, "--format", "jsonl", "--top-k", "3", "--batch-size", "3"]
    assert run(tiny, images, *options) == 1
    output = capsys.readouterr()
    assert re.fullmatch(rf"error: {images}/5.png cannot be read as an image: [^\n]+\n", output.err)
    results = [json.loads(line) for line in output.out.splitlines()]
    assert [Path(result["image"]).stem for result in results] == ["0", "1", "2", "3", "4", "6"]
    for result in results:
        wanted = expected(tiny, step, result["image"])[:3]
        assert [p["class"] for p in result["predictions"]] == [name for name, _ in wanted]
        shares = [p["probability"] for p in result["predictions"]]
        assert shares == pytest.approx([share for _, share in wanted], abs=1e-5)


def test_one_compilation_serves_every_batch(tiny, images, caplog):
    run = open_run(tiny.folder)
    paths = [images / f"{index}.png" for index in (0, 1, 2, 3, 4, 6)]
    with jax.log_compiles():
        predictions = predict.predict(run, paths, batch_size=4)
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
    assert output.err == ""


def test_paths_from_standard_input(tiny, images, capsys, monkeypatch):
    names = [images / f"{index}.png" for index in (4, 0)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, names)) + "\n\n"))
    assert run(tiny, images / "1.png", "-", "--format", "jsonl") == 0
    found = [Path(result["image"]).stem for result in lines(capsys)]
    assert found == ["1", "4", "0"]


def test_nothing_can_be_read(tiny, images, capsys):
    assert run(tiny, images / "5.png", images / "none.png") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 2
    assert "none.png is missing" in output.err


def test_all_classes_and_no_more(tiny, images):
    paths = [images / f"{index}.png" for index in (0, 3, 4)]
    for prediction in predict.predict(open_run(tiny.folder), paths, top_k=99):
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
    plain, other, _ = (dict(p.classes) for p in predict.predict(run, paths, top_k=10))
    averaged = dict(next(predict.predict(flipped, paths, top_k=10)).classes)
    means = {name: np.sqrt(plain[name] * other[name]) for name in plain}
    total = sum(means.values())
    assert averaged == pytest.approx({n: mean / total for n, mean in means.items()}, abs=1e-5)


MISTAKES = {
    "": r"`images` is empty; give image files",
    "empty": r"`images` \(=.*empty\) is a folder without an image file",
    "-": r"`images` \(=-\) names no file on standard input",
    "a.png --top-k 0": r"`top_k` \(=0\) must be at least 1",
    "a.png --batch-size 0": r"`batch_size` \(=0\) must be at least 1",
    "a.png --format xml": r"`format` \(='xml'\) must be one of table, jsonl",
    "a.png --checkpoint first": r"`checkpoint` \(='first'\) must be one of best, last",
    "a.png --run nothing": r"`run` \(=nothing\) does not exist",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(tiny, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(tiny, *line.split()) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", output.err)
    assert re.search(MISTAKES[line], output.err)
    assert output.out == ""
