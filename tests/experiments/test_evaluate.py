"""What an evaluation leaves in a run folder, with a network that is compiled in a moment."""

import errno
import io
import re

import jax
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from experiments.evaluate import evaluate
from resnet_jax.data import Arrays, Dataset, Transform
from resnet_jax.evaluation import FlipAveraged, accuracy, predict_logits
from resnet_jax.run import (
    FitResult,
    History,
    JsonLines,
    Reporter,
    RunFolder,
    RunFolderError,
    Sink,
    SinkGroup,
)
from resnet_jax.run.identity import layout
from resnet_jax.training import TrainState

FIGURES = ("loss", "accuracy", "learning_rate", "examples", "confusion_matrix", "calibration")


class Two(nn.Module):
    """Two stages of a convolution; the maps of the second are small."""

    def setup(self):
        self.layer1_0, self.layer2_0 = nn.Conv(4, (3, 3)), nn.Conv(4, (3, 3), strides=4)
        self.fc = nn.Dense(10)

    def features(self, x):
        first = nn.relu(self.layer1_0(x))
        return {"layer1": first, "layer2": nn.relu(self.layer2_0(first))}

    def __call__(self, x, train=False):
        del train
        return self.fc(self.features(x)["layer2"].mean((1, 2)))


class Notes(Sink):
    """Keeps what it gets."""

    def __init__(self):
        self.events, self.figures = [], {}

    def log(self, event):
        self.events.append(event)

    def figure(self, name, figure, step):
        self.figures[name] = step


LOSSES = [2.0, 1.5, 1.0, 0.5]


def make_dataset(names=tuple("0123456789")):
    images, labels = load_digits(return_X_y=True)
    images = np.round(images[:40].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    arrays = Arrays(images, labels[:40].astype(np.int32))
    return Dataset(
        name="digits",
        class_names=names,
        train=arrays,
        test=arrays,
        mean=(0.3,),
        std=(0.4,),
        fingerprint="",
    )


def init_state(seed, step):
    params = Two().init(jax.random.key(seed), np.zeros((1, 8, 8, 1), np.float32))["params"]
    return TrainState(step=np.int32(step), params=params, batch_stats={}, opt_state=())


def evaluate_two(
    folder, *, model=None, dataset=None, sinks=(), best_step=4, state=None, config=None
):
    """Evaluate the state after step 4; return what was printed."""
    log = JsonLines(folder.log_path)
    for step, loss in enumerate(LOSSES, start=1):
        log.log({"event": "step", "step": step, "loss": loss, "learning_rate": 0.1 / step})
    log.flush()
    output = io.StringIO()
    valid = [40.0, 70.0] if best_step == 4 else [70.0, 40.0]
    evaluate(
        folder,
        model=model or Two(),
        result=FitResult(
            History(LOSSES, [50.0, 60.0], valid),
            state or init_state(0, 4),
            [0.05, 0.025],
            best_step // 2,
            best_step,
            9.0,
            None,
            epoch_parts=[{}, {"data": 1.0, "steps": 3.0}, {"data": 2.0, "steps": 5.0}],
        ),
        dataset=dataset or make_dataset(),
        tests_on_valid=False,
        transform=Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,)),
        random_seed=None,
        batch_size=40,
        config={"variant": "two", "seed": 7, "train_accuracy": "full", **(config or {})},
        sinks=SinkGroup([log, *sinks]),
        reporter=Reporter(Console(file=output, soft_wrap=True)),
    )
    return output.getvalue()


@pytest.fixture(scope="module", params=[False, True], ids=("plain", "flipped"))
def run(request, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    notes = Notes()
    model = FlipAveraged(Two()) if request.param else Two()
    return folder, evaluate_two(folder, model=model, sinks=[notes]), notes


def test_the_report_is_of_the_test_images(run):
    folder, output, _ = run
    report = folder.read_report()
    matrix = np.array(report["confusion_matrix"])
    assert matrix.sum() == 40
    assert report["test_accuracy"] == matrix.trace() / 40
    assert 0 <= report["ece"] <= 1
    assert report["best_valid_accuracy"] == 0.7
    assert report["epoch_seconds"] == {"data": 1.5, "steps": 4.0}
    # The best epoch is the last; it is evaluated once.
    assert report["weights"] == "last epoch (2)"
    assert report["best_checkpoint"] == {
        "epoch": 2,
        "step": 4,
        "valid_accuracy": 0.7,
        "test_accuracy": report["test_accuracy"],
    }
    line = (
        f"Test accuracy {100 * report['test_accuracy']:.2f}% with the weights of the last epoch "
        "(2), which is the best\n"
    )
    assert output.startswith(line)
    assert output.count("Test accuracy") == 1
    assert "figures_not_drawn" not in report


def test_the_log_and_the_sinks_get_the_test(run):
    folder, _, notes = run
    event = {
        "event": "test",
        "step": 4,
        "test_accuracy": 100 * folder.read_report()["test_accuracy"],
    }
    assert list(folder.read_log())[-1] == event
    assert notes.events == [event]
    assert notes.figures == dict.fromkeys((*FIGURES, "grad_cam"), 4)


def test_figures_and_page(run):
    path = run[0].path
    for name in (*FIGURES, "grad_cam"):
        with Image.open(path / "figures" / f"{name}.png") as image:
            assert image.width == 990
        assert (path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    text = (path / "report.html").read_text()
    assert "<title>two on digits</title>" in text
    # That of the second stage are of two by two places.
    assert "Grad-CAM of layer1," in text


def test_the_page_links_the_files_of_the_run(run):
    path = run[0].path
    linked = re.findall(r'<a href="([^"#]+)">', (path / "report.html").read_text(encoding="utf-8"))
    assert set(linked) == {
        "report.json",
        "metrics.jsonl",
        *(f"figures/{name}.{kind}" for name in (*FIGURES, "grad_cam") for kind in ("pdf", "png")),
    }
    assert all((path / link).is_file() for link in linked)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "random weights (seed 7)"),
        ({"weights": "a/b", "freeze": "none"}, "the weights a/b, and a new head (seed 7)"),
        (
            {"weights": "a/b", "freeze": "layer2"},
            "the weights a/b, frozen up to layer2, and a new head (seed 7)",
        ),
    ],
)
def test_the_report_says_what_training_began_with(config, told, tmp_path):
    folder = RunFolder(tmp_path)
    # A network that Grad-CAM cannot explain, so that less is drawn.
    evaluate_two(folder, model=NoStages(), config=config)
    assert folder.read_report()["initial_weights"] == told
    assert f"Training began with {told}. " in folder.page_path.read_text(encoding="utf-8")


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_best_checkpoint_is_evaluated_too(tmp_path, flipped, ema):
    """And the report's other numbers stay those of the last epoch."""
    folder, best, last = RunFolder(tmp_path), init_state(5, 2), init_state(0, 4)
    if ema:
        best = init_state(9, 2).replace(ema=best.variables)
    with folder.checkpoints as store:
        for state in (best, last.replace(ema=last.variables) if ema else last):
            store.save(state, {"best_step": 2, "identity": layout(state)}, best_step=2)
    model, dataset = FlipAveraged(Two()) if flipped else Two(), make_dataset()
    output = evaluate_two(folder, model=model, dataset=dataset, best_step=2, state=last)
    transform = Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,))
    wanted = [
        accuracy(
            dataset.test.labels,
            predict_logits(model, state.variables, dataset.test.images, transform.center).argmax(1),
        )
        for state in (last, best)
    ]
    assert wanted[0] != wanted[1]
    report = folder.read_report()
    assert report["weights"] == "last epoch (2)"
    assert report["test_accuracy"] == wanted[0]
    assert report["best_checkpoint"] == {
        "epoch": 1,
        "step": 2,
        "valid_accuracy": 0.7,
        "test_accuracy": wanted[1],
    }
    lines = output.splitlines()
    assert lines[0] == (
        f"Test accuracy {100 * wanted[0]:.2f}% with the weights of the last epoch (2)"
    )
    assert lines[1] == (
        f"Test accuracy {100 * wanted[1]:.2f}% with the weights of the best epoch (1), "
        "which predict and export use"
    )
    page = folder.page_path.read_text(encoding="utf-8")
    assert f"best epoch (1)</dt><dd>{100 * wanted[1]:.2f}" in page


def test_without_the_best_checkpoint_there_is_a_report(tmp_path):
    folder = RunFolder(tmp_path)
    output = evaluate_two(folder, best_step=2)
    assert re.search(
        r"warning: the weights of the best epoch \(1\), .* cannot be evaluated: .*no checkpoint",
        output,
    )
    assert folder.read_report()["best_checkpoint"]["test_accuracy"] is None
    assert folder.page_path.is_file()


def test_names_that_look_like_markup_cost_nothing(tmp_path):
    names = (
        "$x$ $",
        r"$\frac{$",
        "_a",
        "[bold]x[/y]",
        "<b>&",
        "%{}^~",
        "\\",
        ":smile:",
        "",
        "a\nb",
    )
    folder = RunFolder(tmp_path)
    output = evaluate_two(folder, dataset=make_dataset(names))
    report = folder.read_report()
    assert tuple(report["per_class"]) == names
    assert "figures_not_drawn" not in report
    assert "warning" not in output


class NoStages(Two):
    """A network of another kind, which Grad-CAM cannot explain."""

    features = None

    def __call__(self, x, train=False):
        return self.fc(nn.relu(self.layer2_0(nn.relu(self.layer1_0(x)))).mean((1, 2)))


def test_a_figure_that_cannot_be_drawn_is_named_and_the_rest_is_written(tmp_path):
    folder, notes = RunFolder(tmp_path), Notes()
    output = evaluate_two(folder, model=NoStages(), sinks=[notes])
    report = folder.read_report()
    assert report["figures_not_drawn"] == {"grad_cam": "the network has no stages of maps"}
    assert report["grad_cam_stage"] is None
    assert set(notes.figures) == set(FIGURES)
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: the figure grad_cam could not be drawn: the network has no stages of maps; "
        "the rest of the report is written"
    ]
    page = folder.page_path.read_text(encoding="utf-8")
    assert "The figure grad_cam could not be drawn: the network has no stages of maps." in page


class Broken(Sink):
    """Takes no figure."""

    def __init__(self, error):
        self.error = error

    def figure(self, name, figure, step):
        raise self.error


def test_a_tracker_that_takes_no_figure_costs_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    output = evaluate_two(folder, sinks=[Broken(RuntimeError("offline"))])
    assert output.count("could not be passed on: offline") == 7
    assert "figures_not_drawn" not in folder.read_report()
    assert folder.page_path.is_file()


def test_a_full_disk_is_an_error_after_the_report_is_written(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunFolderError, match="cannot write to `run_dir`"):
        evaluate_two(folder, sinks=[Broken(OSError(errno.ENOSPC, "No space left on device"))])
    assert folder.read_report()["weights"] == "last epoch (2)"
