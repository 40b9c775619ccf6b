"""Export of a trained network to ONNX."""

from .model import to_onnx

__all__ = ["to_onnx"]
