"""What an evaluation leaves in a run folder, with a network that is compiled in a moment."""

import io

import jax
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from experiments.evaluate import evaluate
from resnet_jax.data import Arrays, Dataset, Transform
from resnet_jax.evaluation import FlipAveraged
from resnet_jax.run import FitResult, History, JsonLines, Reporter, RunFolder, Sink, SinkGroup
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


@pytest.fixture(scope="module", params=[False, True], ids=("plain", "flipped"))
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    images, labels = load_digits(return_X_y=True)
    images = np.round(images[:40].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    arrays = Arrays(images, labels[:40].astype(np.int32))
    dataset = Dataset(
        name="digits",
        class_names=tuple("0123456789"),
        train=arrays,
        test=arrays,
        mean=(0.3,),
        std=(0.4,),
        fingerprint="",
    )
    model = Two()
    params = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))["params"]
    state = TrainState(step=np.int32(4), params=params, batch_stats={}, opt_state=())
    losses = [2.0, 1.5, 1.0, 0.5]
    run_folder = RunFolder(folder)
    log = JsonLines(run_folder.log_path)
    for step, loss in enumerate(losses, start=1):
        log.log({"event": "step", "step": step, "loss": loss, "learning_rate": 0.1 / step})
    log.flush()
    output = io.StringIO()
    notes = Notes()
    evaluate(
        run_folder,
        model=FlipAveraged(model) if request.param else model,
        result=FitResult(
            History(losses, [50.0, 60.0], [40.0, 70.0]), state, [0.05, 0.025], 2, 4, 9.0, None
        ),
        dataset=dataset,
        transform=Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,)),
        random_seed=None,
        batch_size=40,
        config={"variant": "two", "lr": 0.1},
        sinks=SinkGroup([log, notes]),
        reporter=Reporter(Console(file=output)),
    )
    return run_folder, output.getvalue(), notes


def test_the_report_is_of_the_test_images(run):
    folder, output, _ = run
    report = folder.read_report()
    matrix = np.array(report["confusion_matrix"])
    assert matrix.sum() == 40
    assert report["test_accuracy"] == matrix.trace() / 40
    assert 0 <= report["ece"] <= 1
    assert report["best_valid_accuracy"] == 0.7
    assert f"Test accuracy {100 * report['test_accuracy']:.2f}%" in output


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
