"""Operations with lowerings of their own: convolution and max pooling."""

from __future__ import annotations

from .conv import conv2d
from .pool import max_pool

__all__ = ["conv2d", "max_pool"]
