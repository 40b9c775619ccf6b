"""Figures of a run, as Matplotlib `Figure` objects without a window or pyplot."""

from . import any_backend  # noqa: F401 (before anything imports Matplotlib)
from .curves import plot_accuracy, plot_training_loss, running_average
from .examples import show_examples
from .explanation import plot_explanations
from .matrix import plot_confusion_matrix
from .overlay import plot_overlay
from .reliability import plot_calibration
from .rows import plot_image_rows
from .style import save_figure

__all__ = [
    "plot_accuracy",
    "plot_calibration",
    "plot_confusion_matrix",
    "plot_explanations",
    "plot_image_rows",
    "plot_overlay",
    "plot_training_loss",
    "running_average",
    "save_figure",
    "show_examples",
]
