"""Two-dimensional convolution: XLA's own, with faster lowerings on the CPU."""

from .conv2d import conv2d

__all__ = ["conv2d"]
