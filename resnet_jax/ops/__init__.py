"""Operations with lowerings or gradients of their own: convolution, max pooling, batch norm."""

from __future__ import annotations

from .conv import conv2d
from .norm import batch_norm_train
from .pool import max_pool

__all__ = ["batch_norm_train", "conv2d", "max_pool"]
