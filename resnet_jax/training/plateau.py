"""Reduce the learning rate when a metric stops improving, exactly as torch does it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike


@struct.dataclass
class PlateauState:
    """The controller's memory, a pytree of scalars.

    Attributes:
        learning_rate: the rate to use now.
        best: the best metric so far.
        num_bad_epochs: updates since then, or since the last reduction.
        cooldown_counter: updates for which bad ones are still forgiven.
    """

    learning_rate: Array
    best: Array
    num_bad_epochs: Array
    cooldown_counter: Array


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """Multiplies the learning rate by ``factor`` after more than ``patience`` bad epochs.

    A metric ``a`` is better than ``best`` where, in ``max`` mode, ``a > best · (1 + threshold)``
    (``rel``) or ``a > best + threshold`` (``abs``), and in ``min`` mode ``a < best · (1 -
    threshold)`` or ``a < best - threshold``. NaN is never better. Optax's ``reduce_on_plateau``
    differs: it reduces one bad epoch earlier, only minimises, and scales updates.

    ``init`` and ``update`` are pure and may be jitted or scanned. The state has JAX's default
    precision; under ``jax.enable_x64()`` it has torch's, and its rates are torch's to the bit.

    Attributes:
        mode: ``"max"`` for an accuracy, ``"min"`` for a loss.
        factor: in (0, 1), multiplies the learning rate.
        patience: bad epochs that are still tolerated.
        threshold: the least improvement that counts.
        threshold_mode: ``"rel"`` or ``"abs"``.
        cooldown: epochs after a reduction in which bad ones do not count.
        min_lr: lower bound of the learning rate.
        eps: a reduction smaller than this is skipped.

    Raises:
        ValueError: on construction, for an argument out of range.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html

    >>> controller = ReduceLROnPlateau(mode="max", patience=1)
    >>> state = controller.init(0.1)
    >>> for accuracy in (50.0, 49.0, 48.0):
    ...     state = controller.update(state, accuracy)
    >>> round(float(state.learning_rate), 4)
    0.01
    """

    mode: Literal["max", "min"] = "max"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"`mode` (={self.mode!r}) must be 'max' or 'min'")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"`threshold_mode` (={self.threshold_mode!r}) must be 'rel' or 'abs'")
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"`factor` (={self.factor}) must be between 0 and 1, both excluded")
        for name in ("patience", "threshold", "cooldown", "min_lr", "eps"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` (={value}) must be finite and at least 0")

    def init(self, learning_rate: ArrayLike) -> PlateauState:
        """The state before the first epoch.

        Args:
            learning_rate: the initial rate.
        """
        worst = -jnp.inf if self.mode == "max" else jnp.inf
        return PlateauState(
            learning_rate=jnp.asarray(learning_rate, dtype=float),
            best=jnp.asarray(worst, dtype=float),
            num_bad_epochs=jnp.asarray(0, dtype=jnp.int32),
            cooldown_counter=jnp.asarray(0, dtype=jnp.int32),
        )

    def update(self, state: PlateauState, metric: ArrayLike) -> PlateauState:
        """The state after one more epoch.

        Args:
            state: the state before.
            metric: the epoch's metric, a scalar.
        """
        metric = jnp.asarray(metric, dtype=state.best.dtype)
        better = self._is_better(metric, state.best)
        bad_epochs = jnp.where(better, 0, state.num_bad_epochs + 1)
        cooling = state.cooldown_counter > 0
        bad_epochs = jnp.where(cooling, 0, bad_epochs)
        cooldown = jnp.where(cooling, state.cooldown_counter - 1, 0)

        reduce = bad_epochs > self.patience
        lowered = jnp.maximum(state.learning_rate * self.factor, self.min_lr)
        worth_it = state.learning_rate - lowered > self.eps
        return PlateauState(
            learning_rate=jnp.where(reduce & worth_it, lowered, state.learning_rate),
            best=jnp.where(better, metric, state.best),
            num_bad_epochs=jnp.where(reduce, 0, bad_epochs),
            cooldown_counter=jnp.where(reduce, self.cooldown, cooldown),
        )

    def _is_better(self, metric: Array, best: Array) -> Array:
        if self.threshold_mode == "rel":
            sign = 1.0 if self.mode == "max" else -1.0
            bound = best * (1.0 + sign * self.threshold)
        else:
            bound = best + self.threshold if self.mode == "max" else best - self.threshold
        return metric > bound if self.mode == "max" else metric < bound
