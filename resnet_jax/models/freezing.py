"""Networks of which the first stages are at rest: for fine-tuning with little data."""

from __future__ import annotations

from functools import partial

from jax import Array

from .layers import BatchNorm
from .resnet import ResNet

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
"""Of a ResNet, from the image to the logits."""


def stage_of(name: str) -> str:
    """The stage that a part of a ResNet belongs to.

    Args:
        name: of the part, as in its variables.

    >>> [stage_of(name) for name in ("bn1", "layer3_5", "fc")]
    ['stem', 'layer3', 'head']
    """
    return {"conv1": "stem", "bn1": "stem", "fc": "head"}.get(name) or name.partition("_")[0]


def stages_up_to(last: str | None) -> tuple[str, ...]:
    """The stages from the stem to ``last``, which is among them; none for None.

    Raises:
        ValueError: if ``last`` is no stage before the head.
    """
    if last is None:
        return ()
    if last not in STAGES[:-1]:
        raise ValueError(f"`last` (={last!r}) must be one of {', '.join(STAGES[:-1])}")
    return STAGES[: STAGES.index(last) + 1]


class _RestingBatchNorm(BatchNorm):
    """A BatchNorm that stays in evaluation mode in some stages, whatever ``train`` says.

    Attributes:
        stages: where it does.
    """

    stages: tuple[str, ...] = ()

    def __call__(self, x: Array, train: bool = False) -> Array:
        """Normalises ``[batch, height, width, channels]``."""
        return super().__call__(x, train and stage_of(self.path[0]) not in self.stages)


def rest_batch_norm(model: ResNet, stages: tuple[str, ...]) -> ResNet:
    """The same network with the BatchNorms of some stages always in evaluation mode.

    A stage whose parameters are frozen should be frozen as a whole. In training mode its
    BatchNorms would go on to normalise with each small batch's statistics, and to move the running
    ones, under weights that cannot follow. Here they normalise with the running statistics that
    came with the weights, and leave them as they are. The variables are those of ``model``.

    Args:
        model: a network whose ``norm_layer`` is None.
        stages: of ``STAGES``.

    Raises:
        ValueError: if the network has another ``norm_layer``.
    """
    if model.norm_layer is not None:
        raise ValueError(f"`norm_layer` (={model.norm_layer}) must be None, for BatchNorm")
    return model.clone(norm_layer=partial(_RestingBatchNorm, stages=stages)) if stages else model
