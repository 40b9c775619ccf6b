"""The table of optimizers: what each does to a gradient before the learning rate scales it.

A new optimizer is a function and a row of `OPTIMIZERS`. Everything else, such as the learning rate
in the state, the mask of the weight decay and the rates of stages, is `make_optimizer`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import optax

Pieces = tuple[optax.GradientTransformation, ...]


@dataclass(frozen=True)
class OptimizerRule:
    """A row of `OPTIMIZERS`.

    Attributes:
        pieces: a function `(decay, momentum, **options)` to the transformations that are chained
            before the scaling by the learning rate. `decay` is the transformation that adds weight
            decay times the parameter; the rule says where it belongs.
        options: the options that the rule takes beside these, with their defaults.
    """

    pieces: Callable[..., Pieces]
    options: Mapping[str, Any] = field(default_factory=dict)


def _sgd(decay: optax.GradientTransformation, momentum: float, *, nesterov: bool) -> Pieces:
    """Return SGD with momentum, L2 weight decay and dampening 0.

    `buffer ← momentum · buffer + gradient + weight_decay · parameter` and
    `parameter ← parameter - learning_rate · buffer`.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    return decay, optax.trace(momentum, nesterov) if momentum else optax.identity()


def _lamb(decay: optax.GradientTransformation, momentum: float, *, beta2: float) -> Pieces:
    """Return LAMB: Adam's direction with decoupled weight decay, scaled layer by layer.

    With Adam's moments `m` and `v`, corrected for their bias, `update ← m / (√v + 1e-6) +
    weight_decay · parameter` and `parameter ← parameter - learning_rate · (‖parameter‖ /
    ‖update‖) · update`; the ratio is 1 where one of the norms is 0.

    References:
        You et al. 2019, https://arxiv.org/abs/1904.00962
    """
    return optax.scale_by_adam(momentum, beta2, eps=1e-6), decay, optax.scale_by_trust_ratio()


def _adamw(decay: optax.GradientTransformation, momentum: float, *, beta2: float) -> Pieces:
    """Return Adam with decoupled weight decay.

    With Adam's moments `m` and `v`, corrected for their bias, `parameter ← parameter -
    learning_rate · (m / (√v + 1e-8) + weight_decay · parameter)`.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html;
        Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101
    """
    return optax.scale_by_adam(momentum, beta2, eps=1e-8), decay


OPTIMIZERS: Mapping[str, OptimizerRule] = MappingProxyType(
    {
        "sgd": OptimizerRule(_sgd, {"nesterov": False}),
        "lamb": OptimizerRule(_lamb, {"beta2": 0.999}),
        "adamw": OptimizerRule(_adamw, {"beta2": 0.999}),
    }
)
"""The rule of each optimizer, by the name that `make_optimizer` takes."""
