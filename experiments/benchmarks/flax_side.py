"""The same networks in plain Flax: `nn.Conv` and `nn.BatchNorm` under `jit`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from resnet_jax.models import VARIANTS, BasicBlock
from resnet_jax.training import Batch, TrainState, create_state, train_step


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

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Return the logits `[batch, 10]`."""
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
        return nn.Dense(10)(x.mean((1, 2), dtype=jnp.float32))


def step_jobs(
    *, variant: str, batch: int, size: int, jobs: tuple[str, ...]
) -> dict[str, Callable[[], Any]]:
    """Build a training step and a forward pass on random images."""
    model, tx = PlainResNet(variant), optax.sgd(0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((batch, size, size, 3), dtype=np.float32))
    examples = Batch(images, jnp.asarray(rng.integers(0, 10, batch), jnp.int32))
    state = create_state(model, tx, jax.random.key(0), (1, size, size, 3))
    step = jax.jit(partial(train_step, model=model, tx=tx), donate_argnums=0)
    return runs(model, step, state, examples, jax.random.key(1), images, jobs=jobs)


def runs(
    model: nn.Module,
    step: Callable[..., Any],
    state: TrainState,
    examples: Batch,
    key: Array,
    images: Array,
    *,
    jobs: tuple[str, ...],
) -> dict[str, Callable[[], Any]]:
    """Return the jobs of a compiled training step and its model, ours or plain Flax's.

    Args:
        model: The network.
        step: The training step; it donates the state.
        state: The state before the first step.
        examples: The batch of every step.
        key: The random key of every step.
        images: The input of the forward pass.
        jobs: The names of the jobs to return.
    """
    forward = jax.jit(model.apply)

    def train() -> None:
        nonlocal state
        state, metrics = step(state, examples, key)
        jax.block_until_ready((state, metrics))

    found: dict[str, Callable[[], Any]] = {
        "train step": train,
        "forward": lambda: jax.block_until_ready(forward(state.variables, images)),
    }
    return {job: found[job] for job in jobs}
