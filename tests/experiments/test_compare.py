"""Runs side by side: numbers from report or log, and one line for what is no run."""

import io
import json
import math
import re

import pytest
from rich.console import Console

from experiments import compare
from experiments.run_log import differences, read_run
from resnet_jax.run import JsonLines, RunFolder


def make_run(folder, *, epochs=2, steps=3, extra=0, finished=True, **config):
    """A run folder; each epoch is better, and `extra` steps are of one that is not finished."""
    values = {"variant": "resnet34", "lr": 0.1, "run_dir": str(folder), **config}
    with RunFolder(folder) as run:
        run.begin(values)
    log = JsonLines(folder / "metrics.jsonl")
    for step in range(1, epochs * steps + extra + 1):
        epoch = (step - 1) // steps + 1
        event = {"step": step, "epoch": epoch, "learning_rate": values["lr"]}
        log.log({"event": "step", "loss": 1 / step, **event})
        if step == epoch * steps:
            valid = {"train_accuracy": 80.0 + epoch, "valid_accuracy": 70.0 + epoch}
            log.log({"event": "epoch", "seconds": 60.0 * epoch, **event, **valid})
    log.flush()
    if finished:
        report = {"test_accuracy": 0.705, "images_per_second": 55.4}
        report["best_checkpoint"] = {"epoch": epochs, "test_accuracy": 0.715}
        report["valid_accuracy"] = [(70 + epoch) / 100 for epoch in range(1, epochs + 1)]
        (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_finished_and_unfinished(tmp_path, capsys):
    runs = [
        make_run(tmp_path / "first"),
        make_run(tmp_path / "second", extra=1, finished=False, lr=0.01),
    ]
    out = tmp_path / "out"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    assert f"Comparison: {out}" in capsys.readouterr().out
    for name in ("loss", "valid_accuracy", "learning_rate"):
        assert (out / f"{name}.png").stat().st_size > 1000
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    values = json.loads((out / "comparison.json").read_text())
    assert values["differences"] == {"lr": [0.1, 0.01]}
    assert values["runs"]["first"] == {
        "epochs": 2,
        "finished": True,
        "test_accuracy": 0.705,
        "best_checkpoint_test_accuracy": 0.715,
        "best_valid_accuracy": 0.72,
        "best_epoch": 2,
        "last_loss": pytest.approx(1 / 6),
        "seconds": 120.0,
        "images_per_second": 55.4,
    }
    second = values["runs"]["second"]
    assert second["last_loss"] == pytest.approx(1 / 7)
    assert second["test_accuracy"] is None
    text = (out / "comparison.md").read_text()
    assert "| first | 70.50% | 71.50% | 72.00% | 2 of 2 | 0.1667 | 2.0 min | 55 |" in text
    assert "| second | unfinished | – | 72.00% | 2 of 2 | 0.1429 | 2.0 min | – |" in text
    assert "| run | test, last epoch | test, best epoch | valid., best epoch | best epoch |" in text
    assert "| lr | 0.1 | 0.01 |" in text


@pytest.mark.parametrize("name", ["comparison.md", "comparison.json", "loss.pdf"])
def test_no_file_is_replaced(tmp_path, capsys, name):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    (out / name).write_text("precious")
    assert compare.main([str(run), "--out", str(out)]) == 2
    assert f"`out` (={out / name}) exists; --overwrite" in capsys.readouterr().err
    assert [path.read_text() for path in out.iterdir()] == ["precious"]
    assert compare.main([str(run), "--out", str(out), "--overwrite"]) == 0
    assert b"precious" not in (out / name).read_bytes()


def test_the_figures_of_a_run_are_never_replaced(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    assert compare.main([str(run), "--out", str(run / "figures"), "--overwrite"]) == 2
    assert "belongs to a run" in capsys.readouterr().err
    assert not (run / "figures").exists()


def test_an_option_that_an_older_run_lacks_has_its_default(tmp_path):
    older = read_run(make_run(tmp_path / "older"), "older")
    same = read_run(make_run(tmp_path / "same", optimizer="sgd", track=["tensorboard"]), "same")
    other = read_run(make_run(tmp_path / "other", optimizer="lamb"), "other")
    assert differences([older, same]) == {}
    assert differences([older, other]) == {"optimizer": ["sgd", "lamb"]}


def test_a_report_from_before_has_the_last_epochs_accuracy_alone(tmp_path):
    run = make_run(tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    del report["best_checkpoint"]
    (run / "report.json").write_text(json.dumps(report))
    summary = read_run(run, "run").summary()
    assert summary["test_accuracy"] == 0.705
    assert summary["best_checkpoint_test_accuracy"] is None


AWKWARD = ("$x$ [bold]y[link]", "_a_ :smile: <b>&amp;", "`c` *d* | \\")


def test_names_of_runs_are_no_markup(tmp_path):
    runs = [make_run(tmp_path / name, lr=rate) for rate, name in enumerate(AWKWARD, start=1)]
    out, file = tmp_path / ":smile:", io.StringIO()
    comparison = compare.Comparison(tuple(runs), out)
    compare.compare(comparison, Console(file=file, width=300))
    for name in AWKWARD:
        assert file.getvalue().count(name) == 2
    assert f"Comparison: {out}\n" in file.getvalue()
    assert len(list(out.glob("*.png"))) == 3
    # What Markdown shows is what was meant.
    text = (out / "comparison.md").read_text(encoding="utf-8")
    assert r"| \$x\$ \[bold\]y\[link\] |" in text
    assert r"| \_a\_ \:smile: \<b\>\&amp; |" in text
    assert r"| \`c\` \*d\* \| \\ |" in text
    assert list(json.loads((out / "comparison.json").read_text())["runs"]) == list(AWKWARD)


NAMES = ("cifar_resnet34_quick", "finetune")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return tuple(make_run(folder / name, lr=rate) for rate, name in enumerate(NAMES, start=1))


def shown(runs, width):
    file = io.StringIO()
    compare.compare(compare.Comparison(runs), Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_no_number_is_folded(two, width):
    lines = shown(two, width).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines]
    numbers = ["70.50%", "71.50%", "72.00%", "2", "of", "2", "0.1667", "2.0", "min", "55"]
    for name in NAMES:
        assert [name, *numbers] in rows
    assert ["lr", "1", "2"] in rows
    assert ("best epoch" in "".join(lines)) is (width == 120)  # else a heading has several lines


def test_a_narrow_terminal_gets_a_block_for_each_run(two):
    text = shown(two, 40)
    assert "run: cifar_resnet34_quick\ntest, last epoch: 70.50%\ntest, best epoch: 71.50%\n" in text
    assert "\nimages/s: 55\n\nrun: finetune\n" in text
    assert shown(two, 30).endswith("\noption: lr\ncifar_resnet34_quick: 1\nfinetune: 2\n\n")


def test_a_file_is_as_wide_as_it_needs_to_be(tmp_path, capsys):
    run = make_run(tmp_path / ("n" * 100))
    assert compare.main([str(run)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "nn" in line)
    assert line.split()[:2] == ["n" * 100, "70.50%"]


def test_names_that_cannot_be_printed_are_written_out(tmp_path, capsys):
    runs = [make_run(tmp_path / name) for name in ("a\nb\x1b[31m", " ", "n" * 200)]
    out = tmp_path / "out"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"| a\\nb\\x1b\[31m |" in (out / "comparison.md").read_text()
    assert "| ' ' |" in (out / "comparison.md").read_text()


def test_without_a_folder_nothing_is_written(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    assert compare.main([str(run)]) == 0
    assert "70.50%" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_first_epoch_is_compared_by_iterations(tmp_path):
    """And a line that is being written is left out."""
    run = make_run(tmp_path / "run", epochs=0, extra=2, finished=False)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')
    log = read_run(run, "run")
    assert log.steps_per_epoch is None
    assert log.summary()["best_epoch"] is None
    compare.draw([log], tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"loss", "learning_rate"}


def test_a_report_from_before_a_resume_is_not_the_runs(tmp_path):
    run = make_run(tmp_path / "run", epochs=3)
    report = json.loads((run / "report.json").read_text())
    report["valid_accuracy"] = report["valid_accuracy"][:2]
    (run / "report.json").write_text(json.dumps(report))
    assert read_run(run, "run").summary()["test_accuracy"] is None


def test_runs_of_one_name(tmp_path):
    runs = [make_run(tmp_path / seed / "resnet34") for seed in ("seed1", "seed2")]
    out = tmp_path / "out"
    compare.compare(compare.Comparison(tuple(runs), out))
    names = json.loads((out / "comparison.json").read_text())["runs"]
    assert list(names) == ["seed1/resnet34", "seed2/resnet34"]


def spoil(file, text):
    def apply(folder):
        (make_run(folder) / file).write_text(text)

    return apply


def remove(file):
    def apply(folder):
        (make_run(folder) / file).unlink()

    return apply


def change(kind, **values):
    """Spoil the second event of a kind."""

    def apply(folder):
        path = make_run(folder) / "metrics.jsonl"
        events = list(map(json.loads, path.read_text().splitlines()))
        [event for event in events if event["event"] == kind][1].update(values)
        path.write_text("".join(json.dumps(event) + "\n" for event in events))

    return apply


REPORTS = {
    '{"test_accuracy": "70%"}': "'test_accuracy' is '70%', not a finite number",
    '{"images_per_second": []}': r"'images_per_second' is \[\], not a finite number",
    '{"valid_accuracy": 2}': "'valid_accuracy' is 2, not a list",
    '{"best_checkpoint": [1]}': r"'best_checkpoint' is \[1\], not an object",
    '{"best_checkpoint": {"test_accuracy": true}}': "'test_accuracy' of 'best_checkpoint' is True, "
    "not a finite number",
}
MISTAKES = {
    "missing": (lambda folder: None, r"`run` \(=.*run\) does not exist"),
    "no config": (remove("config.json"), "is no run folder: it has no config.json"),
    "no log": (remove("metrics.jsonl"), "metrics.jsonl cannot be read: .*No such file"),
    "empty": (spoil("metrics.jsonl", ""), "has not made a step yet"),
    "config": (spoil("config.json", "{"), "config.json cannot be read as JSON"),
    "report": (spoil("report.json", "[]"), "report.json is not a JSON object"),
    "log": (spoil("metrics.jsonl", "x\n"), "metrics.jsonl, line 1 is not JSON"),
    "event": (spoil("metrics.jsonl", '{"event": "step"}\n'), "metrics.jsonl: step 1 lacks 'loss'"),
    "no loss": (
        change("step", loss=None),
        r"/metrics.jsonl: 'loss' of step 2 is None, not a finite number$",
    ),
    "loss": (change("step", loss=math.inf), "'loss' of step 2 is inf, not a finite number$"),
    "huge loss": (change("step", loss=10**400), "'loss' of step 2 is 10+...0+, not a finite numb"),
    "rate": (change("step", learning_rate=[1]), r"'learning_rate' of step 2 is \[1\], not a "),
    "accuracy": (
        change("epoch", valid_accuracy="1"),
        r"/metrics.jsonl: 'valid_accuracy' of epoch 2 is '1', not a finite number$",
    ),
    "step": (change("epoch", step=1.5), r"'step' of epoch 2 is 1.5, not a whole number$"),
    "epoch": (change("epoch", epoch=True), r"'epoch' of epoch 2 is True, not a whole number$"),
    "seconds": (change("epoch", seconds={}), r"'seconds' of epoch 2 is {}, not a finite number$"),
    "options": (
        spoil("config.json", '{"epochs": "x"}'),
        r"/config.json: 'epochs' is 'x', not a whole number$",
    ),
    "infinite options": (spoil("config.json", '{"epochs": 1e999}'), "'epochs' is inf, not a whole"),
    **{
        f"report {text}": (spoil("report.json", text), f"/report.json: {message}$")
        for text, message in REPORTS.items()
    },
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_run_is_said_in_one_line(tmp_path, capsys, mistake):
    prepare, message = MISTAKES[mistake]
    prepare(tmp_path / "run")
    assert compare.main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error)
    assert re.search(message, error)
    assert not (tmp_path / "out").exists()


def test_a_run_named_twice(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="twice; name each run once"):
        compare.compare(compare.Comparison((run, tmp_path / "other" / ".." / "run")))
