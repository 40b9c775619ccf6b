"""SGD with momentum as torch computes it, with a learning rate that is part of the state."""

from __future__ import annotations

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike


def make_optimizer(
    learning_rate: float | optax.Schedule,
    momentum: float = 0.9,
    *,
    weight_decay: float = 0.0,
    decay_kernels_only: bool = False,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """SGD with momentum, ``torch.optim.SGD`` with dampening 0.

    ``buffer ← momentum · buffer + gradient`` and ``parameter ← parameter - learning_rate ·
    buffer``. The learning rate is a leaf of the optimizer's state, so that ``set_learning_rate``
    changes it without another compilation.

    Args:
        learning_rate: the initial rate, above 0; or a function from the number of updates done to
            the rate, which every update then evaluates.
        momentum: in [0, 1).
        weight_decay: times the parameter, added to the gradient first (L2, not decoupled).
        decay_kernels_only: not that of biases and normalisations, which have one axis.
        nesterov: look ahead by ``gradient + momentum · buffer``.

    Raises:
        ValueError: for an argument out of range.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    if not callable(learning_rate):
        learning_rate = float(learning_rate)
        if not (learning_rate > 0 and math.isfinite(learning_rate)):
            raise ValueError(f"`learning_rate` (={learning_rate}) must be finite and above 0")
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"`momentum` (={momentum}) must be at least 0 and below 1")
    if not (weight_decay >= 0 and math.isfinite(weight_decay)):
        raise ValueError(f"`weight_decay` (={weight_decay}) must be finite and at least 0")
    if nesterov and momentum == 0.0:
        raise ValueError("`nesterov` (=True) needs `momentum` (=0.0) above 0")

    def at_rate(learning_rate: ArrayLike) -> optax.GradientTransformation:
        return sgd(
            learning_rate,
            momentum,
            weight_decay=weight_decay,
            decay_kernels_only=decay_kernels_only,
            nesterov=nesterov,
        )

    return optax.inject_hyperparams(at_rate)(learning_rate=learning_rate)


def sgd(
    learning_rate: ArrayLike,
    momentum: float,
    *,
    weight_decay: float,
    decay_kernels_only: bool,
    nesterov: bool,
) -> optax.GradientTransformation:
    """The rule of ``make_optimizer`` at a learning rate, which may be traced; it checks nothing.

    Args:
        learning_rate: a scalar.
        momentum: as of ``make_optimizer``, and so are the others.
        weight_decay: L2.
        decay_kernels_only: not that of biases and normalisations.
        nesterov: look ahead.
    """
    mask = _are_kernels if decay_kernels_only else None
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask) if weight_decay else optax.identity(),
        optax.trace(momentum, nesterov) if momentum else optax.identity(),
        optax.scale_by_learning_rate(cast(float, learning_rate)),
    )


def _are_kernels(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def get_learning_rate(opt_state: Any) -> Array:
    """Return the learning rate in the state of an optimizer.

    Args:
        opt_state: a state of `make_optimizer`, or of another optimizer under
            `optax.inject_hyperparams`.

    Raises:
        ValueError: if the state has none.
    """
    rate = _hyperparam(opt_state)
    if rate is None:
        raise ValueError(
            f"`opt_state` (a {type(opt_state).__name__}) has no learning rate; make the optimizer "
            "by `make_optimizer`, or by `optax.inject_hyperparams` with a `learning_rate`"
        )
    return rate


def has_learning_rate(opt_state: Any) -> bool:
    """Return whether the state of an optimizer contains its learning rate."""
    return _hyperparam(opt_state) is not None


def has_own_schedule(opt_state: Any) -> bool:
    """Return whether an optimizer computes its learning rate in every update itself.

    It does if `make_optimizer`, or an optimizer under `optax.inject_hyperparams`, was given a
    schedule as its `learning_rate`. Setting the rate from outside has no effect then.
    """
    return "learning_rate" in getattr(opt_state, "hyperparams_states", {})


def set_learning_rate(opt_state: Any, learning_rate: ArrayLike) -> Any:
    """Return the same state with another learning rate.

    Args:
        opt_state: a state as `get_learning_rate` takes it.
        learning_rate: the new rate, a scalar.

    Raises:
        ValueError: if the state has no learning rate, or if the optimizer has its own schedule.
    """
    dtype = get_learning_rate(opt_state).dtype
    if has_own_schedule(opt_state):
        raise ValueError(
            "the optimizer computes its learning rate by its own schedule, so that setting it has "
            "no effect; give the optimizer a number as its `learning_rate`"
        )
    rate = jnp.asarray(learning_rate, dtype=dtype)
    return opt_state._replace(hyperparams={**opt_state.hyperparams, "learning_rate": rate})


def _hyperparam(opt_state: Any) -> Any:
    """Return the leaf that is the learning rate, or None."""
    return getattr(opt_state, "hyperparams", {}).get("learning_rate")
