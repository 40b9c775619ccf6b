"""The learning rate as a leaf of an optimizer's state, where it can be read and set."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .scalars import check_scalar


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
            "by `make_optimizer`, or by `optax.inject_hyperparams` with a `learning_rate`, around "
            "everything else that it is made of"
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
        ValueError: if the state has no learning rate, if the optimizer has its own schedule, or if
            the rate has axes.
    """
    present = get_learning_rate(opt_state)
    if np.shape(learning_rate) != present.shape:  # `pmap` keeps one for each device
        check_scalar("learning_rate", learning_rate)
    if has_own_schedule(opt_state):
        raise ValueError(
            "the optimizer computes its learning rate by its own schedule, so that setting it has "
            "no effect; give the optimizer a number as its `learning_rate`"
        )
    rate = jnp.asarray(learning_rate, dtype=present.dtype)
    return opt_state._replace(hyperparams={**opt_state.hyperparams, "learning_rate": rate})


def _hyperparam(opt_state: Any) -> Any:
    """Return the leaf that is the learning rate, or None."""
    return getattr(opt_state, "hyperparams", {}).get("learning_rate")
