"""The options of a network by name, and the row of the table of variants that holds some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from jax.typing import DTypeLike

from .anti_alias import AntiAlias
from .attention import Attention
from .blocks import Block
from .layers import Activation, NormLayer
from .shortcuts import Shortcut
from .stems import Stem


class ResNetOptions(TypedDict, total=False):
    """The options of `ResNet` that a factory takes; `ResNet` explains them."""

    block: Block | Sequence[Block]
    """The residual block, or that of each stage."""
    layers: Sequence[int]
    """Blocks in each stage."""
    zero_init_residual: bool
    """Start every residual branch at zero."""
    groups: int
    """Channel groups of the 3×3 convolutions."""
    width_per_group: int
    """Channels per group at 64 planes."""
    replace_stride_with_dilation: Sequence[bool] | None
    """For each stage but the first: dilate instead of striding."""
    norm_layer: NormLayer | None
    """Makes the normalisations."""
    stem: str | Stem
    """A name in `STEMS`, or what makes another stem."""
    base_planes: int | Sequence[int]
    """Planes of the first stage, doubled in each further one; or of every stage."""
    dtype: DTypeLike | None
    """Dtype of the computation."""
    axis_name: str | None
    """The mapped axis that BatchNorm shares its statistics over."""
    remat: bool
    """Recompute the blocks' activations in the backward pass."""
    shortcut: str | Shortcut | None
    """A name in `SHORTCUTS`, or what makes another shortcut."""
    attention: str | Attention | None
    """A name in `ATTENTIONS`, or what makes another attention."""
    anti_alias: str | AntiAlias | None
    """A name in `ANTI_ALIASES`, or what makes another low-pass filter."""
    act: Activation | None
    """The activation."""
    reduce_first: int
    """Divisor of the output channels of each block's first convolution."""
    widths: Sequence[Sequence[Sequence[int]]] | None
    """Output channels of every convolution, by stage and block."""
    dropout: float
    """Probability in training that a value before a block's last convolution is zero."""
    final_norm: bool
    """Normalise and activate the output of the last stage."""
    name: str | None
    """The module's name within another module."""


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        block: the residual block, or that of each stage.
        layers: blocks in each stage.
        parameters: trainable parameters with `num_classes`.
        options: what else differs from the defaults of `ResNet`.
        num_classes: size of the logits where none is given.
    """

    block: Block | Sequence[Block]
    layers: tuple[int, ...]
    parameters: int
    options: ResNetOptions = field(default_factory=ResNetOptions)
    num_classes: int = 1000

    @property
    def groups(self) -> int:
        """Channel groups of the 3×3 convolutions."""
        return self.options.get("groups", 1)

    @property
    def width_per_group(self) -> int:
        """Channels per group at 64 planes."""
        return self.options.get("width_per_group", 64)
