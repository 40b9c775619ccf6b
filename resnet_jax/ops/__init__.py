"""Convolution, max pooling and batch norm with lowerings or gradients faster than XLA's."""

from __future__ import annotations

from .conv import CpuLowering, conv2d, countable_flops, cpu_lowering, fuse_convolutions
from .norm import batch_norm_train
from .pool import Pool, max_pool

__all__ = [
    "CpuLowering",
    "Pool",
    "batch_norm_train",
    "conv2d",
    "countable_flops",
    "cpu_lowering",
    "fuse_convolutions",
    "max_pool",
]
