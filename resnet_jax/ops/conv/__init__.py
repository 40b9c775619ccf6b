"""Two-dimensional convolution with lowerings of its own on the CPU."""

from .conv2d import conv2d

__all__ = ["conv2d"]
