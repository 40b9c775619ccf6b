"""SGD with a learning rate for each stage of a network, or none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax.typing import ArrayLike

from .optimizer import sgd


def make_stagewise_optimizer(
    learning_rate: float,
    factors: Mapping[str, float],
    stage_of: Callable[[str], str],
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """As ``make_optimizer``, but each stage's rate is the learning rate times its factor.

    Stages of factor 0 are frozen: no weight decay moves them, they have no momentum, and since
    nothing needs their gradients, XLA does not compute them.

    Args:
        learning_rate: the initial rate of a stage of factor 1; ``set_learning_rate`` changes it,
            and with it that of all stages.
        factors: at least 0, by the name of the stage.
        stage_of: from a top-level name in the parameters to its stage.
        momentum: as of ``make_optimizer``.
        weight_decay: of kernels, not of biases and normalisations.
        nesterov: as of ``make_optimizer``.

    Raises:
        ValueError: for a factor that is negative or not finite, or if all are 0.

    References:
        Howard and Ruder 2018, https://arxiv.org/abs/1801.06146 (discriminative fine-tuning)
    """
    for stage, factor in factors.items():
        if not (factor >= 0 and math.isfinite(factor)):
            raise ValueError(f"the factor of {stage} (={factor}) must be finite and at least 0")
    if not any(factors.values()):
        raise ValueError("`factors` are all 0; some stage must learn")

    def labels(params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _filled(part, stage_of(name)) for name, part in params.items()}

    def stagewise(learning_rate: ArrayLike) -> optax.GradientTransformation:
        def stage(factor: float) -> optax.GradientTransformation:
            if factor == 0:
                return optax.set_to_zero()
            return sgd(
                learning_rate * factor,
                momentum,
                weight_decay=weight_decay,
                decay_kernels_only=True,
                nesterov=nesterov,
            )

        return optax.multi_transform({name: stage(f) for name, f in factors.items()}, labels)

    return optax.inject_hyperparams(stagewise)(learning_rate=learning_rate)


def _filled(tree: Any, label: str) -> Any:
    return jax.tree.map(lambda _: label, tree)
