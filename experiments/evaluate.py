"""What follows the training: predictions on the test set, figures, and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import Array
from matplotlib.figure import Figure

from resnet_jax.data import Dataset, Transform
from resnet_jax.evaluation import (
    FlipAveraged,
    Mistake,
    accuracy,
    calibration,
    class_report,
    confusion_matrix,
    environment,
    grad_cam,
    input_saliency,
    most_confident_mistakes,
    per_class_accuracy,
    plot_accuracy,
    plot_calibration,
    plot_confusion_matrix,
    plot_explanations,
    plot_overlay,
    plot_training_loss,
    predict_logits,
    save_figure,
    show_examples,
    write_page,
)
from resnet_jax.run import FitResult, Logbook, Reporter, read_log
from resnet_jax.storage import write_json

EXAMPLES = 15
EXPLAINED = 4
SMALLEST_MAP = 4
"""Side of a map, in places, below which Grad-CAM shows next to nothing."""
AVERAGING_ITERATIONS = 200
"""Of the loss figure; a run of less than ten times as many is averaged over a tenth of it."""


@dataclass(frozen=True)
class _RandomCrop:
    """The transform that crops each batch at random places, always the same ones."""

    transform: Transform
    seed: int

    def __call__(self, images: Array) -> Array:
        return self.transform.random(images, jax.random.key(self.seed))


def evaluate(
    run_dir: Path,
    *,
    model: nn.Module,
    result: FitResult,
    dataset: Dataset,
    transform: Transform,
    random_seed: int | None,
    batch_size: int,
    config: Mapping[str, Any],
    reporter: Reporter,
) -> None:
    """Evaluates the final state on the test set.

    Writes ``figures/``, ``report.json`` and ``report.html``, and the test accuracy into the log.

    Args:
        run_dir: the run folder, with the log of the training.
        model: the network.
        result: of the training.
        dataset: its test images are evaluated.
        transform: of the test images.
        random_seed: of random crops; None crops in the middle.
        batch_size: images at a time.
        config: goes into the report.
        reporter: prints the accuracy.
    """
    start = time.perf_counter()
    crop = transform.center if random_seed is None else _RandomCrop(transform, random_seed)
    test, names = dataset.test, dataset.class_names
    variables = result.state.variables
    logits = predict_logits(model, variables, test.images, crop, batch_size=batch_size)
    predictions, probabilities = logits.argmax(1), np.asarray(jax.nn.softmax(logits))
    test_accuracy = accuracy(test.labels, predictions)
    reporter.line(f"Test accuracy {100 * test_accuracy:.2f}%")
    log_path = run_dir / "metrics.jsonl"
    _log_test(log_path, len(result.history.minibatch_losses), test_accuracy)

    matrix = confusion_matrix(test.labels, predictions, num_classes=len(names))
    reliability = calibration(test.labels, probabilities)
    shown = jax.jit(crop)(test.images[:EXAMPLES])
    pictures = np.asarray(transform.denormalise(shown))
    explained = predictions[:EXPLAINED], test.labels[:EXPLAINED], names
    # The mirror image has maps of its own; those of the image are shown.
    plain = model.model if isinstance(model, FlipAveraged) else model
    inputs = plain, variables, shown[:EXPLAINED], explained[0]
    stage = _explained_stage(*inputs[:3])
    figures = {
        **_curves(log_path, result),
        "examples": show_examples(pictures, predictions[:EXAMPLES], test.labels[:EXAMPLES], names),
        "confusion_matrix": plot_confusion_matrix(matrix, class_names=names),
        "calibration": plot_calibration(reliability),
        "grad_cam": plot_explanations(
            pictures[:EXPLAINED],
            *explained,
            cam=np.asarray(grad_cam(*inputs, stage=stage)),
            saliency=np.asarray(input_saliency(*inputs)),
        ),
    }
    for name, figure in figures.items():
        save_figure(figure, run_dir / "figures" / name)

    history = result.history
    report = {
        "test_accuracy": test_accuracy,
        "ece": reliability.error,
        "per_class_accuracy": dict(zip(names, per_class_accuracy(matrix).tolist(), strict=True)),
        "per_class": class_report(matrix, class_names=names),
        "confusion_matrix": matrix,
        "grad_cam_stage": stage,
        "best_epoch": result.best_epoch,
        "best_valid_accuracy": max(history.valid_accuracy) / 100,
        "train_accuracy": np.divide(history.train_accuracy, 100),
        "valid_accuracy": np.divide(history.valid_accuracy, 100),
        "learning_rates": result.learning_rates,
        "training_seconds": result.seconds,
        "test_seconds": time.perf_counter() - start,
        "images_per_second": result.images_per_second,
        "environment": environment(),
        "config": config,
    }
    write_json(run_dir / "report.json", report)
    mistakes = [
        Mistake(
            index=int(index),
            image=test.images[index],
            true=names[test.labels[index]],
            predicted=names[predictions[index]],
            confidence=float(probabilities[index].max()),
        )
        for index in most_confident_mistakes(test.labels, probabilities)
    ]
    write_page(
        run_dir / "report.html",
        report,
        title=f"{config['variant']} on {dataset.name}",
        figures=figures,
        mistakes=mistakes,
    )
    reporter.line(f"Figures and report: {run_dir}")


def _log_test(path: Path, step: int, test_accuracy: float) -> None:
    """Adds the test accuracy (%) to the log; a resumed run begins with a log without it."""
    logbook = Logbook(path)
    logbook.write({"event": "test", "step": step, "test_accuracy": 100 * test_accuracy})
    logbook.flush()


def _explained_stage(model: nn.Module, variables: Mapping[str, Any], images: Array) -> str:
    """The last stage whose maps are not too small to show anything, or else the first."""
    maps: Any = jax.eval_shape(lambda: model.apply(variables, images, method="features"))
    sides = {name: min(maps[name].shape[1:3]) for name in maps if name.startswith("layer")}
    return max((name for name in sides if sides[name] >= SMALLEST_MAP), default="layer1")


def averaging_window(steps: int) -> int:
    """Iterations that the loss of a run of so many is averaged over, in figures."""
    return min(AVERAGING_ITERATIONS, max(1, steps // 10))


def _curves(log_path: Path, result: FitResult) -> dict[str, Figure]:
    """Loss, accuracy and learning rate over the training."""
    history = result.history
    epochs, steps = len(history.valid_accuracy), len(history.minibatch_losses)
    rates = [event["learning_rate"] for event in read_log(log_path) if event["event"] == "step"]
    # A schedule changes the rate in every step; a controller divides it, at times, by a number.
    divided = 1 < len(set(rates)) <= epochs
    return {
        "loss": plot_training_loss(
            history.minibatch_losses,
            epochs,
            steps // epochs,
            averaging_iterations=averaging_window(steps),
        ),
        "accuracy": plot_accuracy(history.train_accuracy, history.valid_accuracy),
        "learning_rate": plot_overlay(
            {"Learning rate": (np.arange(steps) * (epochs / steps), rates)},
            xlabel="Epoch",
            ylabel="Learning rate",
            log_y=divided,
            steps=True,
        ),
    }
