"""What follows the training: predictions on the test set, four figures and the report."""

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

from resnet_jax.data import Dataset, Transform
from resnet_jax.evaluation import (
    accuracy,
    class_report,
    confusion_matrix,
    environment,
    per_class_accuracy,
    plot_accuracy,
    plot_confusion_matrix,
    plot_training_loss,
    predict_logits,
    save_figure,
    show_examples,
    write_report,
)
from resnet_jax.training import FitResult, Reporter

EXAMPLES = 15
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
    """Evaluates the final state on the test set; writes ``figures/`` and ``report.json``.

    Args:
        run_dir: the run folder.
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
    logits = predict_logits(model, result.state.variables, test.images, crop, batch_size=batch_size)
    predictions = logits.argmax(1)
    test_accuracy = accuracy(test.labels, predictions)
    reporter.line(f"Test accuracy {100 * test_accuracy:.2f}%")

    history = result.history
    epochs, steps = len(history.valid_accuracy), len(history.minibatch_losses)
    matrix = confusion_matrix(test.labels, predictions, num_classes=len(names))
    shown = jax.jit(crop)(test.images[:EXAMPLES])
    figures = {
        "loss": plot_training_loss(
            history.minibatch_losses,
            epochs,
            steps // epochs,
            averaging_iterations=min(AVERAGING_ITERATIONS, max(1, steps // 10)),
        ),
        "accuracy": plot_accuracy(history.train_accuracy, history.valid_accuracy),
        "examples": show_examples(
            transform.denormalise(shown), predictions[:EXAMPLES], test.labels[:EXAMPLES], names
        ),
        "confusion_matrix": plot_confusion_matrix(
            matrix, show_normed=True, class_names=names, colorbar=True
        ),
    }
    for name, figure in figures.items():
        save_figure(figure, run_dir / "figures" / name)

    write_report(
        run_dir / "report.json",
        {
            "test_accuracy": test_accuracy,
            "per_class_accuracy": dict(
                zip(names, per_class_accuracy(matrix).tolist(), strict=True)
            ),
            "per_class": class_report(matrix, class_names=names),
            "confusion_matrix": matrix,
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
        },
    )
    reporter.line(f"Figures and report: {run_dir}")
