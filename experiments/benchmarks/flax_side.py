"""The same networks in plain Flax, of `nn.Conv` and `nn.BatchNorm`."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from resnet_jax.models import VARIANTS, BasicBlock


class PlainBlock(nn.Module):
    """A residual block of `nn.Conv` and `nn.BatchNorm`, Basic or Bottleneck."""

    planes: int
    stride: int
    bottleneck: bool
    groups: int
    base_width: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = True) -> Array:
        """Map `[batch, height, width, in]` to `[batch, out_h, out_w, out]`."""
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(nn.BatchNorm, use_running_average=not train, dtype=self.dtype)
        planes, stride = self.planes, (self.stride, self.stride)
        if self.bottleneck:
            width = planes * self.base_width // 64 * self.groups
            y = nn.relu(norm()(conv(width, (1, 1))(x)))
            y = conv(width, (3, 3), stride, padding=1, feature_group_count=self.groups)(y)
            y = norm()(conv(planes * 4, (1, 1))(nn.relu(norm()(y))))
        else:
            y = nn.relu(norm()(conv(planes, (3, 3), stride, padding=1)(x)))
            y = norm()(conv(planes, (3, 3), padding=1)(y))
        if y.shape != x.shape:
            x = norm()(conv(y.shape[-1], (1, 1), stride)(x))
        return nn.relu(x + y)


class PlainResNet(nn.Module):
    """A ResNet as one would write it in plain Flax."""

    variant: str
    dtype: DTypeLike | None = None
    num_classes: int = 10

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Return the logits `[batch, classes]`."""
        row = VARIANTS[self.variant]
        x = nn.Conv(64, (7, 7), (2, 2), padding=3, use_bias=False, dtype=self.dtype)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for stage, count in enumerate(row.layers):
            for index in range(count):
                block = PlainBlock(
                    planes=64 * 2**stage,
                    stride=2 if stage and not index else 1,
                    bottleneck=row.block is not BasicBlock,
                    groups=row.groups,
                    base_width=row.width_per_group,
                    dtype=self.dtype,
                )
                x = block(x, train)
        return nn.Dense(self.num_classes)(x.mean((1, 2), dtype=jnp.float32))
