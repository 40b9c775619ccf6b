"""Convolution, max pooling and batch norm with lowerings or gradients faster than XLA's."""

from __future__ import annotations

from .conv import conv2d, countable_flops
from .norm import batch_norm_train
from .pool import max_pool

__all__ = ["batch_norm_train", "conv2d", "countable_flops", "max_pool"]
