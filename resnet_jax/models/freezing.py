"""Networks whose first stages are frozen: for fine-tuning with little data."""

from __future__ import annotations

from functools import partial

from jax import Array

from ..ops import Pool
from .layers import BatchNorm, GroupNorm
from .resnet import ResNet

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
"""The stages of a ResNet, from the image to the logits; it may end its maps before `layer4`."""


def stage_of(name: str) -> str:
    """Return the stage that a module of a ResNet belongs to.

    Args:
        name: name of the module in the network's variables. The blocks, `final_bn` and `fc` have
            fixed names; every other module belongs to the stem.

    >>> [stage_of(name) for name in ("bn1", "layer3_5", "fc")]
    ['stem', 'layer3', 'head']
    """
    if name in ("final_bn", "fc"):
        return "head"
    return name.partition("_")[0] if name.startswith("layer") else "stem"


def stages_up_to(last: str | None) -> tuple[str, ...]:
    """Return the stages from the stem to `last` inclusive.

    Args:
        last: a stage before the head; None returns no stage.

    Raises:
        ValueError: if `last` is not a stage before the head.

    >>> stages_up_to("layer1")
    ('stem', 'layer1')
    """
    if last is None:
        return ()
    if last not in STAGES[:-1]:
        raise ValueError(f"`last` (={last!r}) must be one of {', '.join(STAGES[:-1])}")
    return STAGES[: STAGES.index(last) + 1]


class _FrozenBatchNorm(BatchNorm):
    """A BatchNorm that stays in evaluation mode in some stages, whatever `train` says.

    Attributes:
        stages: the stages in which it does.
    """

    stages: tuple[str, ...] = ()

    def __call__(self, x: Array, train: bool = False, *, relu_pool: Pool | None = None) -> Array:
        """Normalise `[batch, height, width, channels]`."""
        train = train and stage_of(self.path[0]) not in self.stages
        return super().__call__(x, train, relu_pool=relu_pool)


def freeze_batch_norm(model: ResNet, stages: tuple[str, ...]) -> ResNet:
    """Return the same network with the BatchNorms of some stages always in evaluation mode.

    A stage whose parameters are frozen should be frozen as a whole. In training mode its
    BatchNorms would go on normalising with the statistics of each small batch, and updating the
    running ones, under weights that cannot follow. Here they normalise with the running statistics
    that came with the weights, and leave them as they are. The variables are those of `model`.

    A network with `GroupNorm` has no such statistics, and is returned as it is.

    Args:
        model: a network whose `norm_layer` is None, or `GroupNorm` or a partial of it.
        stages: stages out of `STAGES`.

    Raises:
        ValueError: if the network has another `norm_layer`.
    """
    norm = model.norm_layer
    if norm is GroupNorm or (isinstance(norm, partial) and norm.func is GroupNorm):
        return model
    if norm is not None:
        raise ValueError(f"`norm_layer` (={norm}) must be None, for BatchNorm, or GroupNorm")
    return model.clone(norm_layer=partial(_FrozenBatchNorm, stages=stages)) if stages else model
