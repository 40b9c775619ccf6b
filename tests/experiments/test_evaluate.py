"""What an evaluation leaves in a run folder, with a network that is compiled in a moment."""

import io
import json

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
from resnet_jax.run import (
    FitResult,
    History,
    Logbook,
    Reporter,
    event_files,
    read_event_file,
    read_log,
)
from resnet_jax.training import TrainState


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
    logbook = Logbook(folder / "metrics.jsonl")
    for step, loss in enumerate(losses, start=1):
        logbook.write({"event": "step", "step": step, "loss": loss, "learning_rate": 0.1 / step})
    logbook.flush()
    output = io.StringIO()
    evaluate(
        folder,
        model=FlipAveraged(model) if request.param else model,
        result=FitResult(
            History(losses, [50.0, 60.0], [40.0, 70.0]), state, [0.05, 0.025], 2, 4, 9.0, None
        ),
        dataset=dataset,
        transform=Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,)),
        random_seed=None,
        batch_size=40,
        config={"variant": "two", "lr": 0.1},
        reporter=Reporter(Console(file=output)),
    )
    return folder, output.getvalue()


def test_the_report_is_of_the_test_images(run):
    folder, output = run
    report = json.loads((folder / "report.json").read_text())
    matrix = np.array(report["confusion_matrix"])
    assert matrix.sum() == 40
    assert report["test_accuracy"] == matrix.trace() / 40
    assert 0 <= report["ece"] <= 1
    assert report["best_valid_accuracy"] == 0.7
    assert f"Test accuracy {100 * report['test_accuracy']:.2f}%" in output


def test_the_log_and_the_event_file_end_with_the_test(run):
    folder, _ = run
    percent = 100 * json.loads((folder / "report.json").read_text())["test_accuracy"]
    *_, last = read_log(folder / "metrics.jsonl")
    assert last == {"event": "test", "step": 4, "test_accuracy": percent}
    (path,) = event_files(folder)
    *_, scalar = read_event_file(path)
    assert scalar[:3] == ("accuracy/test", 4, float(np.float32(percent)))


def test_figures_and_page(run):
    folder, _ = run
    names = ("loss", "accuracy", "learning_rate", "examples", "confusion_matrix", "calibration")
    for name in (*names, "grad_cam"):
        with Image.open(folder / "figures" / f"{name}.png") as image:
            assert image.width == 990
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    text = (folder / "report.html").read_text()
    assert "<title>two on digits</title>" in text
    # That of the second stage are of two by two places.
    assert "Grad-CAM of layer1," in text
