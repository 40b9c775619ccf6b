"""Optimizers with the learning rate in their state, one for all parameters or one per stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import optax
from jax.typing import ArrayLike

from .rules import OPTIMIZERS
from .scalars import number


def make_optimizer(
    learning_rate: float | optax.Schedule,
    momentum: float = 0.9,
    *,
    name: str = "sgd",
    weight_decay: float = 0.0,
    decay_kernels_only: bool = False,
    nesterov: bool = False,
    beta2: float | None = None,
    factors: Mapping[str, float] | None = None,
    stage_of: Callable[[str], str] | None = None,
) -> optax.GradientTransformation:
    """Make an optimizer of the table `OPTIMIZERS`.

    The learning rate is a leaf of the optimizer's state, so that `set_learning_rate` changes it
    without another compilation.

    With `factors`, the rate of each stage of the network is the learning rate times the stage's
    factor. Stages of factor 0 are frozen: no weight decay moves them, they have no moments, and
    since nothing needs their gradients, XLA does not compute them.

    Args:
        learning_rate: the initial rate, above 0; or a function from the number of updates done to
            the rate, which every update then evaluates.
        momentum: decay of the average of gradients, in [0, 1); the `beta1` of Adam's relatives.
        name: a key of `OPTIMIZERS`; `"sgd"` is `torch.optim.SGD` with dampening 0.
        weight_decay: coefficient of the weight decay, at least 0; L2 regularisation in SGD,
            decoupled from the gradient in the others.
        decay_kernels_only: exempt biases and normalisations, which have one axis.
        nesterov: look ahead by `gradient + momentum · buffer`; an option of SGD.
        beta2: decay of the average of squared gradients, in [0, 1); an option of Adam's relatives.
        factors: factor of the learning rate, at least 0, by the name of the stage.
        stage_of: function from a top-level name in the parameters to the name of its stage.

    Raises:
        ValueError: if an argument is out of range or not an option of the optimizer.
        TypeError: if an argument is no number.

    References:
        Howard and Ruder 2018, https://arxiv.org/abs/1801.06146 (discriminative fine-tuning)

    >>> state = make_optimizer(0.5, weight_decay=1e-4).init({"kernel": jax.numpy.ones((2, 2))})
    >>> float(state.hyperparams["learning_rate"])
    0.5
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"`name` (={name!r}) must be one of {', '.join(OPTIMIZERS)}")
    rule = OPTIMIZERS[name]
    rate: Any = learning_rate
    if not callable(rate):
        # A number of Python, because NumPy's are not what `inject_hyperparams` takes for numbers.
        rate = _checked("learning_rate", rate, above_zero=True)
    momentum, weight_decay = _fraction("momentum", momentum), _checked("weight_decay", weight_decay)
    given: dict[str, Any] = {}
    if nesterov:
        given["nesterov"] = True
    if beta2 is not None:
        given["beta2"] = _fraction("beta2", beta2)
    for option, value in given.items():
        if option not in rule.options:
            raise ValueError(f"`{option}` (={value}) is not an option of {name}; leave it out")
    if nesterov and not momentum:
        raise ValueError(f"`nesterov` (=True) needs `momentum` (={momentum}) above 0")

    decay = optax.identity()
    if weight_decay:
        mask = _are_kernels if decay_kernels_only else None
        decay = optax.add_decayed_weights(weight_decay, mask)
    pieces = rule.pieces(decay, momentum, **{**rule.options, **given})

    def at_rate(learning_rate: ArrayLike) -> optax.GradientTransformation:
        return optax.chain(*pieces, optax.scale_by_learning_rate(cast(float, learning_rate)))

    if factors is None and stage_of is None:
        return optax.inject_hyperparams(at_rate)(learning_rate=rate)
    if factors is None or stage_of is None:
        raise ValueError("`factors` and `stage_of` must be given together")
    return optax.inject_hyperparams(_by_stage(at_rate, factors, stage_of))(learning_rate=rate)


def _by_stage(
    at_rate: Callable[[ArrayLike], optax.GradientTransformation],
    factors: Mapping[str, float],
    stage_of: Callable[[str], str],
) -> Callable[[ArrayLike], optax.GradientTransformation]:
    """Return the function from a learning rate to the optimizer with each stage at its own rate.

    Args:
        at_rate: function from a rate to the optimizer of one stage.
        factors: factor of the rate, by the name of the stage.
        stage_of: function from a top-level name in the parameters to the name of its stage.

    Raises:
        ValueError: if a factor is negative or not finite, or if all are 0.
    """
    factors = {stage: _checked(f"factors[{stage!r}]", factor) for stage, factor in factors.items()}
    if not any(factors.values()):
        raise ValueError("`factors` are all 0; at least one stage must learn")

    def label(path: tuple[Any, ...], leaf: Any) -> str:
        name = jax.tree_util.keystr(path[:1], simple=True)
        stage = stage_of(name)
        if stage not in factors:
            raise ValueError(f"`factors` must have a factor for {stage!r}, the stage of {name!r}")
        return stage

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(label, params)

    def stagewise(learning_rate: Any) -> optax.GradientTransformation:
        parts = {
            stage: at_rate(learning_rate * factor) if factor else optax.set_to_zero()
            for stage, factor in factors.items()
        }
        return optax.multi_transform(parts, labels)

    return stagewise


def _are_kernels(params: Any) -> Any:
    """Return for each leaf whether it is a kernel; biases and normalisations have one axis."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _checked(name: str, value: float, *, above_zero: bool = False) -> float:
    """Return a number of Python.

    Raises:
        ValueError: if the value is negative, not finite, or 0 where it must be above 0.
        TypeError: if it is no number.
    """
    value = number(name, value)
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        bound = "above 0" if above_zero else "at least 0"
        raise ValueError(f"`{name}` (={value}) must be finite and {bound}")
    return value


def _fraction(name: str, value: float) -> float:
    """Return a number of Python.

    Raises:
        ValueError: if the value is not in [0, 1).
        TypeError: if it is no number.
    """
    value = number(name, value)
    if not 0.0 <= value < 1.0:
        raise ValueError(f"`{name}` (={value}) must be at least 0 and below 1")
    return value
