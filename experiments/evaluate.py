"""What follows the training: predictions on the test set, figures, and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from matplotlib.figure import Figure

from resnet_jax.data import Dataset, Transform
from resnet_jax.evaluation import (
    Calibration,
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
from resnet_jax.run import FitResult, Reporter, RunFolder, Sink

EXAMPLES = 15
EXPLAINED = 4
SMALLEST_MAP = 4
"""Side of a map, in places, below which Grad-CAM shows next to nothing."""
AVERAGING_ITERATIONS = 200
"""Window of the loss figure; a run of less than ten times as many averages over a tenth of it."""


@dataclass(frozen=True)
class _RandomCrop:
    """The transform that crops each batch at random places, always the same ones."""

    transform: Transform
    seed: int

    def __call__(self, images: Array) -> Array:
        return self.transform.random(images, jax.random.key(self.seed))


class _Scores(NamedTuple):
    """What the test set says of the network.

    Attributes:
        predictions: class of each image.
        probabilities: `[n, classes]`.
        accuracy: fraction of the predictions that are right.
        matrix: confusion matrix, rows true, columns predicted.
        reliability: confidence against accuracy.
    """

    predictions: np.ndarray
    probabilities: np.ndarray
    accuracy: float
    matrix: np.ndarray
    reliability: Calibration


def evaluate(
    folder: RunFolder,
    *,
    model: nn.Module,
    result: FitResult,
    dataset: Dataset,
    transform: Transform,
    random_seed: int | None,
    batch_size: int,
    config: Mapping[str, Any],
    sinks: Sink,
    reporter: Reporter,
) -> None:
    """Evaluate the final state on the test set.

    Write figures, report and page into the run folder, and log the test accuracy.

    Args:
        folder: the run folder, with the log of the training.
        model: the network.
        result: the result of the training.
        dataset: the data set, whose test images are evaluated.
        transform: the transform of the test images.
        random_seed: seed of random crops; None crops in the middle.
        batch_size: images at a time.
        config: the flat options, for the report.
        sinks: get the test accuracy and the figures; the log of the run is one of them.
        reporter: prints the accuracy.
    """
    start = time.perf_counter()
    crop = transform.center if random_seed is None else _RandomCrop(transform, random_seed)
    images, labels, names = dataset.test.images, dataset.test.labels, dataset.class_names
    variables = result.state.variables
    logits = predict_logits(model, variables, images, crop, batch_size=batch_size)
    predictions, probabilities = logits.argmax(1), np.asarray(jax.nn.softmax(logits))
    scores = _Scores(
        predictions,
        probabilities,
        accuracy(labels, predictions),
        confusion_matrix(labels, predictions, num_classes=len(names)),
        calibration(labels, probabilities),
    )
    reporter.line(f"Test accuracy {100 * scores.accuracy:.2f}%")
    step = len(result.history.minibatch_losses)
    event = {"event": "test", "step": step, "test_accuracy": 100 * scores.accuracy}
    sinks.log(event)
    sinks.flush()

    # The mirror image has maps of its own; those of the image are shown.
    plain = model.model if isinstance(model, FlipAveraged) else model
    shown = jax.jit(crop)(images[:EXAMPLES])
    stage = _explained_stage(plain, variables, shown)
    figures = {
        **_curves(folder, result),
        **_test_figures(scores, dataset, np.asarray(transform.denormalise(shown))),
        "grad_cam": _explanation(
            plain, variables, shown[:EXPLAINED], scores, dataset, transform, stage
        ),
    }
    for name, figure in figures.items():
        save_figure(figure, folder.figure_path(name))
        sinks.figure(name, figure, step)
    report = {
        **_report(scores, result, names),
        "grad_cam_stage": stage,
        "test_seconds": time.perf_counter() - start,
        "environment": environment(),
        "config": config,
    }
    folder.write_report(report)
    write_page(
        folder.page_path,
        report,
        title=f"{config['variant']} on {dataset.name}",
        figures=figures,
        mistakes=_mistakes(scores, dataset),
    )
    reporter.line(f"Figures and report: {folder.path}")


def _report(scores: _Scores, result: FitResult, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the numbers of the report; accuracies are fractions, times are in seconds."""
    history = result.history
    by_class = per_class_accuracy(scores.matrix).tolist()
    return {
        "test_accuracy": scores.accuracy,
        "ece": scores.reliability.error,
        "per_class_accuracy": dict(zip(names, by_class, strict=True)),
        "per_class": class_report(scores.matrix, class_names=names),
        "confusion_matrix": scores.matrix,
        "best_epoch": result.best_epoch,
        "best_valid_accuracy": max(history.valid_accuracy) / 100,
        "train_accuracy": np.divide(history.train_accuracy, 100),
        "valid_accuracy": np.divide(history.valid_accuracy, 100),
        "learning_rates": result.learning_rates,
        "training_seconds": result.seconds,
        "images_per_second": result.images_per_second,
    }


def _mistakes(scores: _Scores, dataset: Dataset) -> list[Mistake]:
    """Return the most confident mistakes, for the page."""
    test, names = dataset.test, dataset.class_names
    return [
        Mistake(
            index=int(index),
            image=test.images[index],
            true=names[test.labels[index]],
            predicted=names[scores.predictions[index]],
            confidence=float(scores.probabilities[index].max()),
        )
        for index in most_confident_mistakes(test.labels, scores.probabilities)
    ]


def averaging_window(steps: int) -> int:
    """Return over how many iterations figures average the loss.

    Args:
        steps: iterations of the run.
    """
    return min(AVERAGING_ITERATIONS, max(1, steps // 10))


def _curves(folder: RunFolder, result: FitResult) -> dict[str, Figure]:
    """Draw loss, accuracy and learning rate over the training."""
    history = result.history
    epochs, steps = len(history.valid_accuracy), len(history.minibatch_losses)
    rates = [event["learning_rate"] for event in folder.read_log() if event["event"] == "step"]
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


def _test_figures(scores: _Scores, dataset: Dataset, pictures: np.ndarray) -> dict[str, Figure]:
    """Draw examples, confusion matrix and calibration."""
    labels, names = dataset.test.labels, dataset.class_names
    return {
        "examples": show_examples(
            pictures, scores.predictions[:EXAMPLES], labels[:EXAMPLES], names
        ),
        "confusion_matrix": plot_confusion_matrix(scores.matrix, class_names=names),
        "calibration": plot_calibration(scores.reliability),
    }


def _explanation(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: Array,
    scores: _Scores,
    dataset: Dataset,
    transform: Transform,
    stage: str,
) -> Figure:
    """Draw Grad-CAM and input gradients of the predictions of a few images."""
    count = len(images)
    predictions = jnp.asarray(scores.predictions[:count])
    return plot_explanations(
        np.asarray(transform.denormalise(images)),
        scores.predictions[:count],
        dataset.test.labels[:count],
        dataset.class_names,
        cam=np.asarray(grad_cam(model, variables, images, predictions, stage=stage)),
        saliency=np.asarray(input_saliency(model, variables, images, predictions)),
    )


def _explained_stage(model: nn.Module, variables: Mapping[str, Any], images: Array) -> str:
    """Return the last stage whose maps are large enough to show anything, or else the first."""
    maps: Any = jax.eval_shape(lambda: model.apply(variables, images, method="features"))
    sides = {name: min(maps[name].shape[1:3]) for name in maps if name.startswith("layer")}
    return max((name for name in sides if sides[name] >= SMALLEST_MAP), default="layer1")
