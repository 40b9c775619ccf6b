"""Reduce the learning rate when a metric stops improving, exactly as torch does it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.typing import ArrayLike

from .scalars import check_scalar, number, plain

_BOUNDED = ("patience", "threshold", "cooldown", "min_lr", "eps")


@struct.dataclass
class PlateauState:
    """The controller's memory, a pytree of scalars.

    Attributes:
        learning_rate: the rate to use now.
        best: the best metric so far.
        num_bad_epochs: consecutive updates without an improvement, since the last reduction.
        cooldown_counter: remaining updates in which a bad metric is not counted.
    """

    learning_rate: np.ndarray | Array
    best: np.ndarray | Array
    num_bad_epochs: np.ndarray | Array
    cooldown_counter: np.ndarray | Array


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` after more than `patience` bad epochs.

    A metric `a` is better than `best` if, in `max` mode, `a > best · (1 + threshold)` (`rel`) or
    `a > best + threshold` (`abs`), and in `min` mode `a < best · (1 - threshold)` or
    `a < best - threshold`. NaN is never better. Optax's `reduce_on_plateau` differs: it reduces
    one bad epoch earlier, only minimises, and scales updates.

    `init` and `update` are pure. Called with concrete values they compute in NumPy's float64,
    whatever JAX's precision, and the rates equal torch's to the bit. If any argument is traced
    (under `jax.jit`, `jax.lax.scan` or `jax.vmap`), they compute with JAX at its default
    precision; a state made outside can be passed into a transformed function.

    Attributes:
        mode: `"max"` for an accuracy, `"min"` for a loss.
        factor: multiplier of the learning rate, in (0, 1).
        patience: bad epochs that are tolerated.
        threshold: the least improvement that counts.
        threshold_mode: `"rel"` or `"abs"`.
        cooldown: epochs after a reduction in which bad ones do not count.
        min_lr: lower bound of the learning rate.
        eps: a smaller reduction than this is skipped.

    Raises:
        ValueError: on construction, for an argument out of range.
        TypeError: on construction, for an argument that is no number.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html

    >>> controller = ReduceLROnPlateau(mode="max", patience=1)
    >>> state = controller.init(0.1)
    >>> for accuracy in (50.0, 49.0, 48.0):
    ...     state = controller.update(state, accuracy)
    >>> float(state.learning_rate) == 0.1 * 0.1
    True
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
        for field in fields(self):
            object.__setattr__(self, field.name, plain(field.name, getattr(self, field.name)))
        if self.mode not in ("max", "min"):
            raise ValueError(f"`mode` (={self.mode!r}) must be 'max' or 'min'")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"`threshold_mode` (={self.threshold_mode!r}) must be 'rel' or 'abs'")
        for name in ("factor", *_BOUNDED):
            number(name, getattr(self, name))
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"`factor` (={self.factor}) must be between 0 and 1, both excluded")
        for name in _BOUNDED:
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` (={value}) must be finite and at least 0")

    def init(self, learning_rate: ArrayLike) -> PlateauState:
        """Return the state before the first epoch.

        Args:
            learning_rate: the initial rate, a scalar.

        Raises:
            ValueError: if the rate is not a scalar.
            TypeError: if it is no number.
        """
        check_scalar("learning_rate", learning_rate)
        xp: Any = jnp
        if not _is_traced(learning_rate):
            xp, learning_rate = np, number("learning_rate", learning_rate)
        return PlateauState(
            learning_rate=xp.asarray(learning_rate, dtype=float),
            best=xp.asarray(-math.inf if self.mode == "max" else math.inf, dtype=float),
            num_bad_epochs=xp.asarray(0, dtype=xp.int32),
            cooldown_counter=xp.asarray(0, dtype=xp.int32),
        )

    def update(self, state: PlateauState, metric: ArrayLike) -> PlateauState:
        """Return the state after one more epoch.

        Args:
            state: the state before.
            metric: the epoch's metric, a scalar.

        Raises:
            ValueError: if the metric is not a scalar.
            TypeError: if it is no number.
        """
        check_scalar("metric", metric)
        if _is_traced(state, metric):
            state = jax.tree.map(jnp.asarray, state)
            return self._updated(jnp, state, jnp.asarray(metric, dtype=state.best.dtype))
        state = PlateauState(
            learning_rate=np.asarray(state.learning_rate, np.float64),
            best=np.asarray(state.best, np.float64),
            num_bad_epochs=np.asarray(state.num_bad_epochs, np.int32),
            cooldown_counter=np.asarray(state.cooldown_counter, np.int32),
        )
        # Infinities and NaN are legitimate metrics.
        with np.errstate(all="ignore"):
            updated = self._updated(np, state, np.asarray(number("metric", metric)))
        return jax.tree.map(lambda new, old: np.asarray(new, old.dtype), updated, state)

    def _updated(self, xp: Any, state: PlateauState, metric: Any) -> PlateauState:
        """Return the state after a metric, computed with `numpy` or `jax.numpy`."""
        better = self._is_better(metric, state.best)
        bad_epochs = xp.where(better, 0, state.num_bad_epochs + 1)
        cooling = state.cooldown_counter > 0
        bad_epochs = xp.where(cooling, 0, bad_epochs)
        cooldown = xp.where(cooling, state.cooldown_counter - 1, 0)

        reduce = bad_epochs > self.patience
        lowered = xp.maximum(state.learning_rate * self.factor, self.min_lr)
        worth_it = state.learning_rate - lowered > self.eps
        return PlateauState(
            learning_rate=xp.where(reduce & worth_it, lowered, state.learning_rate),
            best=xp.where(better, metric, state.best),
            num_bad_epochs=xp.where(reduce, 0, bad_epochs),
            cooldown_counter=xp.where(reduce, self.cooldown, cooldown),
        )

    def _is_better(self, metric: Any, best: Any) -> Any:
        """Return whether a metric is better than the best one, by the threshold."""
        if self.threshold_mode == "rel":
            sign = 1.0 if self.mode == "max" else -1.0
            bound = best * (1.0 + sign * self.threshold)
        else:
            bound = best + self.threshold if self.mode == "max" else best - self.threshold
        return metric > bound if self.mode == "max" else metric < bound


def _is_traced(*values: Any) -> bool:
    """Return whether any leaf is a value of a JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))
