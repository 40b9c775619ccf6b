"""Learning rates that follow the step: pure functions, evaluated inside the compiled step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .scalars import number, plain

ONE_CYCLE_START = 1 / 25
"""Factor at the first step of a one-cycle schedule; the peak is 1."""

ONE_CYCLE_END = ONE_CYCLE_START * 1e-4
"""Factor at the last step of a one-cycle schedule; the peak is 1."""


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate, by the number of optimizer steps done.

    With `t` steps done, `w` steps of warm-up and `n` steps in all:

    - `constant`: `(t + 1) / w` for `t < w`, then 1;
    - `cosine`: the same warm-up, then `(1 + cos(π · (t - w) / (n - w))) / 2`;
    - `onecycle`: from 1/25 of the peak up to it within the warm-up and down to 1/250000 at the
      last step, both along half a cosine, like torch's `OneCycleLR` with `pct_start = w / n` and
      `cycle_momentum=False`;
    - `multistep`: the warm-up of `constant`, then `gamma` to the power of the milestones that are
      passed, like torch's `MultiStepLR`. A milestone `m` is passed when `t >= m · n`, rounded to a
      step.

    After the last step the factor stays constant.

    Attributes:
        shape: `"constant"`, `"cosine"`, `"onecycle"` or `"multistep"`.
        total_steps: steps of the run, at least 1.
        warmup_steps: steps of the warm-up, below `total_steps`. A one-cycle schedule has at least
            two, and at least two more after them.
        milestones: shares of the run, ascending and between 0 and 1; for multistep alone.
        gamma: factor at each milestone, above 0; for multistep alone.

    Raises:
        ValueError: on construction, for an argument out of range.

    References:
        He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2 (multistep);
        Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983 (cosine);
        Goyal et al. 2017, https://arxiv.org/abs/1706.02677 (warm-up);
        https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html;
        https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html

    >>> schedule = Schedule("cosine", total_steps=8, warmup_steps=4)
    >>> [round(float(schedule(step)), 2) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """

    shape: Literal["constant", "cosine", "onecycle", "multistep"]
    total_steps: int
    warmup_steps: int = 0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        for name in ("shape", "total_steps", "warmup_steps", "gamma"):
            object.__setattr__(self, name, plain(name, getattr(self, name)))
        if self.shape not in get_args(get_type_hints(Schedule)["shape"]):
            raise ValueError(
                f"`shape` (={self.shape!r}) must be 'constant', 'cosine', 'onecycle' or 'multistep'"
            )
        object.__setattr__(self, "milestones", _milestones(self.milestones))
        if not 0.0 < number("gamma", self.gamma) < math.inf:
            raise ValueError(f"`gamma` (={self.gamma}) must be finite and above 0")
        for name in ("total_steps", "warmup_steps"):
            number(name, getattr(self, name))
        if self.total_steps < 1:
            raise ValueError(f"`total_steps` (={self.total_steps}) must be at least 1")
        least, rest = (2, 2) if self.shape == "onecycle" else (0, 1)
        most = self.total_steps - rest
        if not least <= self.warmup_steps <= most:
            raise ValueError(
                f"`warmup_steps` (={self.warmup_steps}) must be in [{least}, {most}] for "
                f"{self.total_steps} steps of {self.shape!r}"
            )

    def __call__(self, step: ArrayLike) -> Array:
        """Return the factor, a float32 scalar (or one for each of several steps).

        Args:
            step: optimizer steps done before this one.
        """
        t = jnp.minimum(jnp.asarray(step, jnp.float32), self.total_steps - 1.0)
        if self.shape == "onecycle":
            top = self.warmup_steps - 1.0
            up = _half_cosine(ONE_CYCLE_START, 1.0, t / top)
            down = _half_cosine(1.0, ONE_CYCLE_END, (t - top) / (self.total_steps - 1.0 - top))
            return jnp.where(t <= top, up, down)
        after = jnp.float32(1.0)
        if self.shape == "cosine":
            progress = (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)
            after = _half_cosine(1.0, 0.0, progress)
        elif self.shape == "multistep":
            for milestone in self.milestones:
                passed = t >= round(milestone * self.total_steps)
                after = after * jnp.where(passed, jnp.float32(self.gamma), 1.0)
        warmup = (t + 1.0) / max(self.warmup_steps, 1)
        return jnp.where(t < self.warmup_steps, warmup, after)


def _milestones(values: Iterable[float]) -> tuple[float, ...]:
    """Return the milestones as Python's numbers.

    Raises:
        TypeError: if they are no sequence of numbers.
        ValueError: unless they ascend between 0 and 1.
    """
    if isinstance(values, str | bytes) or not np.ndim(values):  # type: ignore[arg-type]
        raise TypeError(f"`milestones` (={values!r}) must be a sequence of numbers")
    milestones = tuple(number("milestones", value) for value in values)
    if not all(a < b for a, b in pairwise((0.0, *milestones, 1.0))):
        raise ValueError(f"`milestones` (={milestones}) must ascend, and lie between 0 and 1")
    return milestones


def _half_cosine(start: float, end: float, progress: Array) -> Array:
    """Return the value between two ends along half a cosine, by the progress in [0, 1]."""
    return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
