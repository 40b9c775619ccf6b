"""Figures of a run, as Matplotlib `Figure` objects that belong to no window."""

from .curves import plot_accuracy, plot_training_loss
from .examples import show_examples
from .matrix import plot_confusion_matrix
from .style import save_figure

__all__ = [
    "plot_accuracy",
    "plot_confusion_matrix",
    "plot_training_loss",
    "save_figure",
    "show_examples",
]
