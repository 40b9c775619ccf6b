"""What a trained model is worth: predictions, metrics, figures and the report."""

from .accuracy import ClassScores, accuracy, class_report, per_class_accuracy
from .confusion import confusion_labels, confusion_matrix
from .figures import (
    plot_accuracy,
    plot_confusion_matrix,
    plot_training_loss,
    save_figure,
    show_examples,
)
from .predict import predict_logits
from .report import environment, write_report

__all__ = [
    "ClassScores",
    "accuracy",
    "class_report",
    "confusion_labels",
    "confusion_matrix",
    "environment",
    "per_class_accuracy",
    "plot_accuracy",
    "plot_confusion_matrix",
    "plot_training_loss",
    "predict_logits",
    "save_figure",
    "show_examples",
    "write_report",
]
