"""Two-dimensional convolution: XLA's own, with faster lowerings on the CPU."""

from .conv2d import conv2d
from .onednn import countable_flops

__all__ = ["conv2d", "countable_flops"]
