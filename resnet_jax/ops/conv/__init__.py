"""Two-dimensional convolution: XLA's own, with faster lowerings on the CPU."""

from .conv2d import conv2d
from .fusion import fuse_convolutions
from .lowering import CpuLowering, cpu_lowering
from .onednn import countable_flops

__all__ = ["CpuLowering", "conv2d", "countable_flops", "cpu_lowering", "fuse_convolutions"]
