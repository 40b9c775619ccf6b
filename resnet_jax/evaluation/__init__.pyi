from .computer import environment
from .confusion import confusion_labels, confusion_matrix
from .export import OUTPUTS, PLATFORMS, to_stablehlo
from .figures import (
    plot_accuracy,
    plot_calibration,
    plot_confusion_matrix,
    plot_explanations,
    plot_image_rows,
    plot_overlay,
    plot_training_loss,
    running_average,
    save_figure,
    show_examples,
)
from .flip import FlipAveraged
from .onnx_export import to_onnx
from .page import Mistake, most_confident_mistakes, write_page
from .predict import predict_logits
from .ranking import Ranks, rank_labels
from .reliability import Calibration, calibration
from .saliency import grad_cam, input_saliency
from .scores import ClassScores, accuracy, class_report, per_class_accuracy

__all__ = [
    "OUTPUTS",
    "PLATFORMS",
    "Calibration",
    "ClassScores",
    "FlipAveraged",
    "Mistake",
    "Ranks",
    "accuracy",
    "calibration",
    "class_report",
    "confusion_labels",
    "confusion_matrix",
    "environment",
    "grad_cam",
    "input_saliency",
    "most_confident_mistakes",
    "per_class_accuracy",
    "plot_accuracy",
    "plot_calibration",
    "plot_confusion_matrix",
    "plot_explanations",
    "plot_image_rows",
    "plot_overlay",
    "plot_training_loss",
    "predict_logits",
    "rank_labels",
    "running_average",
    "save_figure",
    "show_examples",
    "to_onnx",
    "to_stablehlo",
    "write_page",
]
