"""What follows the training: predictions on the test set, the report, and figures.

The report is of the weights of the last epoch, as the reference's is. `predict` and `export` take
those of the best epoch by validation; `best_checkpoint` of the report has their test accuracy.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn

from resnet_jax.data import Dataset, Transform
from resnet_jax.evaluation import (
    Mistake,
    class_report,
    environment,
    most_confident_mistakes,
    per_class_accuracy,
    write_page,
)
from resnet_jax.run import CheckpointError, FitResult, Reporter, RunFolder, Sink

from .figures import Gallery, evaluation_figures, explained_stage, training_figures
from .progress import working
from .scores import Scores, make_crop, score
from .source_options import NONE


def evaluate(
    folder: RunFolder,
    *,
    model: nn.Module,
    result: FitResult,
    dataset: Dataset,
    tests_on_valid: bool,
    transform: Transform,
    random_seed: int | None,
    batch_size: int,
    config: Mapping[str, Any],
    sinks: Sink,
    reporter: Reporter,
) -> None:
    """Evaluate the final state on the test set, and the accuracy of the best checkpoint.

    Log the test accuracy, and write report, figures and page into the run folder. The report comes
    first, so that no figure can cost it.

    Args:
        folder: the run folder, with the log of the training and the best checkpoint.
        model: the network.
        result: the result of the training.
        dataset: the data set, whose test images are evaluated.
        tests_on_valid: whether the test images are the validation images, by which the best epoch
            was chosen; the report says so.
        transform: the transform of the test images.
        random_seed: seed of random crops; None crops in the middle.
        batch_size: images at a time.
        config: the flat options, for the report.
        sinks: get the test accuracy and the figures; the log of the run is one of them.
        reporter: prints the accuracies, and which figure could not be drawn.
    """
    start = time.perf_counter()
    crop, variables = make_crop(transform, random_seed), result.state.variables
    with working("Evaluating the test images", console=reporter.console):
        scores = score(model, variables, dataset, crop, batch_size)
    epochs, step = len(result.history.valid_accuracy), len(result.history.minibatch_losses)
    weights = f"last epoch ({epochs})"
    also = ", which is the best" if result.best_step == step else ""
    reporter.line(
        f"Test accuracy {100 * scores.accuracy:.2f}% with the weights of the {weights}{also}"
    )
    if tests_on_valid:
        reporter.line(
            "The test images are the validation images, by which the best epoch was chosen: the "
            "data have no others"
        )
    sinks.log({"event": "test", "step": step, "test_accuracy": 100 * scores.accuracy})
    sinks.flush()

    def test_accuracy(saved: Mapping[str, Any]) -> float:
        """Return the accuracy with other variables."""
        with working("Evaluating the best epoch's weights", console=reporter.console):
            return score(model, saved, dataset, crop, batch_size).accuracy

    best = _best_checkpoint(folder, result, scores.accuracy, test_accuracy, reporter)
    stage = explained_stage(model, variables, dataset.test.images, crop)
    report = {
        "weights": weights,
        "initial_weights": _initial_weights(config),
        "tests_on_valid": tests_on_valid,
        **_report(scores, result, dataset.class_names),
        "best_checkpoint": best,
        "grad_cam_stage": stage,
        "test_seconds": time.perf_counter() - start,
        "environment": environment(),
        "config": config,
    }
    folder.write_report(report)

    gallery = Gallery(folder, sinks, reporter, step)
    drawings = training_figures(folder, result, config["train_accuracy"]) | evaluation_figures(
        model, variables, scores, dataset, transform, crop, stage
    )
    with folder.disk_errors_explained():
        with working("Drawing figures", len(drawings), console=reporter.console) as advance:
            for name, draw in drawings.items():
                gallery.add(name, draw)
                advance()
        if gallery.not_drawn:
            report["figures_not_drawn"] = gallery.not_drawn
            folder.write_report(report)
        write_page(
            folder.page_path,
            report,
            title=f"{config['variant']} on {dataset.name}",
            figures=gallery.figures,
            mistakes=_mistakes(scores, dataset),
            files=_files(folder, gallery.figures),
        )
    for line in _where_next(folder):
        reporter.line(line)


def _initial_weights(config: Mapping[str, Any]) -> str:
    """Return what training began with, in words.

    Args:
        config: the flat options of the run.
    """
    weights, seed = config.get("weights", NONE), config["seed"]
    if weights == NONE:
        return f"random weights (seed {seed})"
    last = config["freeze"]
    frozen = {"none": "", "backbone": ", frozen"}.get(last, f", frozen up to {last}")
    return f"the weights {weights}{frozen}, and a new head (seed {seed})"


def _files(folder: RunFolder, figures: Iterable[str]) -> dict[str, str]:
    """Return what the files of the run hold, by their paths inside its folder.

    Args:
        folder: the run folder.
        figures: names of the figures in it.
    """
    held = {
        folder.report_path: "the numbers of this page",
        folder.log_path: "loss and learning rate of each step, accuracies and times of each epoch",
        folder.config_path: "the options",
        folder.data_path: "class names and pixel statistics",
        folder.checkpoints.folder: "weights and optimizer of the last two epochs and the best",
    }
    for name in figures:
        path = folder.figure_path(name)
        held[path.with_name(f"{path.name}.pdf")] = f"the figure {name} for print"
        held[path.with_name(f"{path.name}.png")] = "the same as an image of 300 dpi"
    return {
        path.relative_to(folder.path).as_posix(): text
        for path, text in held.items()
        if path.exists()
    }


def _where_next(folder: RunFolder) -> list[str]:
    """Return lines with the page of the report, and the commands that use a finished run."""
    here = Path.cwd()
    inside = folder.path.is_relative_to(here)
    run = shlex.quote(str(folder.path.relative_to(here) if inside else folder.path))
    return [
        f"Figures and report: {folder.path}",
        f"Open {folder.page_path.name} there in a browser, or go on with:",
        f"  python -m experiments.predict --run {run} IMAGE ...",
        f"  python -m experiments.compare {run} OTHER_RUN ...",
        f"  python -m experiments.export --run {run} --format onnx",
        "  python -m experiments.runs",
    ]


def _best_checkpoint(
    folder: RunFolder,
    result: FitResult,
    last_accuracy: float,
    test_accuracy: Callable[[Mapping[str, Any]], float],
    reporter: Reporter,
) -> dict[str, Any]:
    """Return the best epoch by validation, and its accuracies as fractions.

    Args:
        folder: the run folder, with its checkpoint.
        result: the result of the training.
        last_accuracy: test accuracy of the last epoch.
        test_accuracy: evaluates variables on the test set.
        reporter: prints the test accuracy, or why there is none.
    """
    accuracy: float | None = last_accuracy
    history, variables = result.history, result.state.variables
    whose = f"the weights of the best epoch ({result.best_epoch})"
    use = "which predict and export use"
    if result.best_step != len(history.minibatch_losses):
        try:
            step, _ = folder.checkpoints.choose("best")
            saved = folder.checkpoints.read_variables(step, variables)
        except CheckpointError as error:
            accuracy = None
            reporter.line(f"warning: {whose}, {use}, cannot be evaluated: {error}")
        else:
            accuracy = test_accuracy(saved)
            reporter.line(f"Test accuracy {100 * accuracy:.2f}% with {whose}, {use}")
    return {
        "epoch": result.best_epoch,
        "step": result.best_step,
        "valid_accuracy": max(history.valid_accuracy) / 100,
        "test_accuracy": accuracy,
    }


def _report(scores: Scores, result: FitResult, names: tuple[str, ...]) -> dict[str, Any]:
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
        "train_accuracy": np.divide(history.train_accuracy, 100)
        if history.train_accuracy
        else None,
        "valid_accuracy": np.divide(history.valid_accuracy, 100),
        "learning_rates": result.learning_rates,
        "image_sizes": result.image_sizes or None,
        "training_seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "epoch_seconds": _epoch_seconds(result),
    }


def _epoch_seconds(result: FitResult) -> dict[str, float] | None:
    """Return what an epoch's seconds were spent on, in the mean; None where it was not measured."""
    measured = [parts for parts in result.epoch_parts if parts]
    if not measured:
        return None
    return {name: float(np.mean([parts[name] for parts in measured])) for name in measured[0]}


def _mistakes(scores: Scores, dataset: Dataset) -> list[Mistake]:
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
