"""Figures of a run, as Matplotlib `Figure` objects that belong to no window."""

from .curves import plot_accuracy, plot_training_loss
from .examples import show_examples
from .explanation import plot_explanations
from .matrix import plot_confusion_matrix
from .overlay import plot_overlay
from .reliability import plot_calibration
from .style import save_figure

__all__ = [
    "plot_accuracy",
    "plot_calibration",
    "plot_confusion_matrix",
    "plot_explanations",
    "plot_overlay",
    "plot_training_loss",
    "save_figure",
    "show_examples",
]
