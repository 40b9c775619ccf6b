"""Two-dimensional convolution: XLA's own, with faster lowerings on the CPU."""

from .conv2d import conv2d
from .lowering import CpuLowering, cpu_lowering
from .onednn import countable_flops

__all__ = ["CpuLowering", "conv2d", "countable_flops", "cpu_lowering"]
