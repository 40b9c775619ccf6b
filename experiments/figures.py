"""The figures of an evaluation; one that cannot be drawn costs none of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from resnet_jax.data import CenterImages, Dataset, Transform
from resnet_jax.evaluation import (
    FlipAveraged,
    grad_cam,
    input_saliency,
    plot_accuracy,
    plot_calibration,
    plot_confusion_matrix,
    plot_explanations,
    plot_overlay,
    plot_training_loss,
    save_figure,
    show_examples,
)
from resnet_jax.run import FitResult, Reporter, RunFolder, Sink
from resnet_jax.storage import first_line

from .scores import Crop, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 15
EXPLAINED = 4
SMALLEST_MAP = 4
"""Side of a map, in places, below which Grad-CAM shows next to nothing."""
TRAIN_LABELS = {"full": "Training", "running": "Training (running)", "none": ""}
"""Name of the training curve, by what its accuracy is taken over."""
AVERAGING_ITERATIONS = 200
"""Window of the loss figure; a run of less than ten times as many averages over a tenth of it."""

Draw = Callable[[], "Figure"]


class Gallery:
    """The figures of a run folder.

    Attributes:
        figures: those that were drawn, by name.
        not_drawn: why the others were not, by name.
    """

    def __init__(self, folder: RunFolder, sinks: Sink, reporter: Reporter, step: int) -> None:
        """Set where the figures go.

        Args:
            folder: gets them as files.
            sinks: get them, too.
            reporter: prints which were not drawn.
            step: optimizer steps done.
        """
        self._folder, self._sinks, self._reporter, self._step = folder, sinks, reporter, step
        self.figures: dict[str, Figure] = {}
        self.not_drawn: dict[str, str] = {}

    def add(self, name: str, draw: Draw) -> None:
        """Draw a figure, save it and pass it on.

        Args:
            name: of the figure.
            draw: draws it.

        Raises:
            OSError: if the disk does not take it.
        """
        try:
            figure = draw()
            save_figure(figure, self._folder.figure_path(name))
        except OSError:
            raise
        except Exception as error:  # JAX and Matplotlib raise many kinds.
            self.not_drawn[name] = first_line(error)
            self._warn(f"the figure {name} could not be drawn: {first_line(error)}")
            return
        self.figures[name] = figure
        try:
            self._sinks.figure(name, figure, self._step)
        except OSError:
            raise
        except Exception as error:  # So do trackers.
            self._warn(f"the figure {name} could not be passed on: {first_line(error)}")

    def _warn(self, message: str) -> None:
        """Print a warning; the rest goes on."""
        self._reporter.line(f"warning: {message}; the rest of the report is written")


def averaging_window(steps: int) -> int:
    """Return over how many iterations figures average the loss.

    Args:
        steps: iterations of the run.
    """
    return min(AVERAGING_ITERATIONS, max(1, steps // 10))


def training_figures(folder: RunFolder, result: FitResult, train_accuracy: str) -> dict[str, Draw]:
    """Return what draws loss, accuracy and learning rate over the training, by name.

    Args:
        folder: the run folder, with the log of the training.
        result: the result of the training.
        train_accuracy: what the training accuracy is taken over, as the option says.
    """
    history = result.history
    epochs, steps = len(history.valid_accuracy), len(history.minibatch_losses)

    def learning_rate() -> Figure:
        rates = [event["learning_rate"] for event in folder.read_log() if event["event"] == "step"]
        # A schedule changes the rate in every step; a controller divides it, at times.
        divided = 1 < len(set(rates)) <= epochs
        return plot_overlay(
            {"Learning rate": (np.arange(steps) * (epochs / steps), rates)},
            xlabel="Epoch",
            ylabel="Learning rate",
            log_y=divided,
            steps=True,
        )

    return {
        "loss": lambda: plot_training_loss(
            history.minibatch_losses,
            epochs,
            steps // epochs,
            averaging_iterations=averaging_window(steps),
        ),
        "accuracy": lambda: plot_accuracy(
            history.train_accuracy or None,
            history.valid_accuracy,
            train_label=TRAIN_LABELS[train_accuracy],
        ),
        "learning_rate": learning_rate,
    }


def evaluation_figures(
    model: nn.Module,
    variables: Mapping[str, Any],
    scores: Scores,
    dataset: Dataset,
    transform: Transform,
    crop: Crop,
    stage: str | None,
) -> dict[str, Draw]:
    """Return what draws examples, confusion matrix, calibration and Grad-CAM, by name.

    Args:
        model: the network.
        variables: its variables.
        scores: its scores on the test set.
        dataset: the data set.
        transform: the transform of the test images.
        crop: the part of it that prepares a batch.
        stage: the stage that Grad-CAM explains; None raises ValueError where it is drawn.
    """
    labels, names = dataset.test.labels, dataset.class_names

    @cache
    def shown() -> Array:
        return jax.jit(crop)(dataset.test.images[:EXAMPLES])

    def explanation() -> Figure:
        if stage is None:
            raise ValueError("the network has no stages of maps")
        images = shown()[:EXPLAINED]
        count = len(images)
        classes = jnp.asarray(scores.predictions[:count])
        plain = _of_one_image(model)
        return plot_explanations(
            np.asarray(transform.denormalise(images)),
            scores.predictions[:count],
            labels[:count],
            names,
            cam=np.asarray(grad_cam(plain, variables, images, classes, stage=stage)),
            saliency=np.asarray(input_saliency(plain, variables, images, classes)),
        )

    return {
        "examples": lambda: show_examples(
            np.asarray(transform.denormalise(shown())),
            scores.predictions[:EXAMPLES],
            labels[:EXAMPLES],
            names,
        ),
        "confusion_matrix": lambda: plot_confusion_matrix(scores.matrix, class_names=names),
        "calibration": lambda: plot_calibration(scores.reliability),
        "grad_cam": explanation,
    }


def explained_stage(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray | CenterImages,
    crop: Crop,
) -> str | None:
    """Return the last stage whose maps are large enough to show anything, or else the first.

    Args:
        model: the network.
        variables: its variables.
        images: test images.
        crop: prepares a batch of them.

    Returns:
        The name of the stage; None for a network without such maps.
    """
    plain = _of_one_image(model)
    try:
        maps: Any = jax.eval_shape(
            lambda batch: plain.apply(variables, crop(batch), method="features"), images[:EXPLAINED]
        )
        sides = {name: min(maps[name].shape[1:3]) for name in maps if name.startswith("layer")}
    except Exception:  # The network may be of any kind.
        return None
    large = [name for name in sides if sides[name] >= SMALLEST_MAP]
    return max(large, default=min(sides, default=None))


def _of_one_image(model: nn.Module) -> nn.Module:
    """Return the network whose maps are explained; the mirror image has maps of its own."""
    return model.model if isinstance(model, FlipAveraged) else model
