"""The network: stem, stages of residual blocks, pooled head; stage features by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from ..ops import countable_flops
from ..ops.dtypes import float32_or_wider
from ..storage import whole_number
from .anti_alias import ANTI_ALIASES, AntiAlias
from .attention import ATTENTIONS, Attention
from .blocks import Block
from .choices import choose
from .layers import Activation, BatchNorm, Dense, NormLayer
from .shortcuts import SHORTCUTS, Shortcut
from .stems import STEMS, Stem


class ResNet(nn.Module):
    """A ResNet as torchvision lays it out, for images `[batch, height, width, channels]`.

    Attributes:
        block: the residual block: `BasicBlock`, `Bottleneck`, or a class with the interface of
            `Block`; or several of them, one a stage.
        layers: blocks in each of the stages, of which there are one to four.
        num_classes: size of the logits, at least 1.
        zero_init_residual: start every residual branch at zero (Goyal et al. 2017,
            https://arxiv.org/abs/1706.02677), by the scale of its last normalisation, or the last
            kernel of a pre-activated one.
        groups: channel groups of the 3×3 convolutions (`Bottleneck` only).
        width_per_group: channels per group at 64 planes (`Bottleneck` only).
        replace_stride_with_dilation: for each stage but the first: dilate instead of striding
            (`Bottleneck` only).
        norm_layer: makes the normalisations; None is `BatchNorm`. See `NormLayer`.
        stem: a name in `STEMS` (`"imagenet"` is 7×7/2 and a 3×3/2 max-pool, `"cifar"` is 3×3/1
            and no pool, `"deep"` three 3×3 convolutions and the max-pool), or what makes another
            one; see `Stem`.
        base_planes: planes of the first stage, doubled in each further one; or of every stage.
        dtype: dtype of the computation; None takes the input's. Parameters, statistics, the
            pooled vector and the logits are float32 at least.
        axis_name: the mapped axis (`pmap`, `shard_map`) that BatchNorm shares its statistics
            over; None leaves them per device.
        remat: recompute the blocks' activations in the backward pass instead of keeping them.
        shortcut: a name in `SHORTCUTS`, or what makes another one; see `Shortcut`. None leaves
            the block its own, a projection.
        attention: a name in `ATTENTIONS`, or what makes another one; see `Attention`.
        anti_alias: a name in `ANTI_ALIASES`, or what makes another filter; see `AntiAlias`.
        act: the activation of the stem and the blocks; None is ReLU.
        reduce_first: divisor of the output channels of each block's first convolution.
        widths: for each stage and block the output channels of its convolutions, as in a network
            pruned channel by channel; None follows from `base_planes`.
        dropout: probability in training that a value before a block's last convolution is zero
            (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146); above 0 training
            needs random numbers, `rngs={"dropout": key}`.
        final_norm: normalise and activate the output of the last stage before it is pooled, as
            pre-activated networks do.

    Raises:
        ValueError: on construction, for an option out of range.
        TypeError: on construction, for a count that is no whole number.
        NotImplementedError: on construction, for a dilated `BasicBlock`.

    References:
        He et al. 2015, https://arxiv.org/abs/1512.03385

    >>> import jax, jax.numpy as jnp
    >>> from resnet_jax.models import BasicBlock
    >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> model.apply(variables, jnp.zeros((2, 32, 32, 3))).shape
    (2, 10)
    >>> features = model.apply(variables, jnp.zeros((2, 32, 32, 3)), method="features")
    >>> {name: feature.shape[1:] for name, feature in features.items()}
    {'stem': (8, 8, 8), 'layer1': (8, 8, 8), 'layer2': (4, 4, 16), 'layer3': (2, 2, 32), \
'layer4': (1, 1, 64), 'pooled': (64,)}
    """

    block: Block | Sequence[Block]
    layers: Sequence[int]
    num_classes: int = 1000
    zero_init_residual: bool = False
    groups: int = 1
    width_per_group: int = 64
    replace_stride_with_dilation: Sequence[bool] | None = None
    norm_layer: NormLayer | None = None
    stem: str | Stem = "imagenet"
    base_planes: int | Sequence[int] = 64
    dtype: DTypeLike | None = None
    axis_name: str | None = None
    remat: bool = False
    shortcut: str | Shortcut | None = None
    attention: str | Attention | None = None
    anti_alias: str | AntiAlias | None = None
    act: Activation | None = None
    reduce_first: int = 1
    widths: Sequence[Sequence[Sequence[int]]] | None = None
    dropout: float = 0.0
    final_norm: bool = False

    def __post_init__(self) -> None:
        stages = len(self.layers)
        if not 1 <= stages <= 4 or any(count < 1 for count in self.layers):
            raise ValueError(f"`layers` (={self.layers}) must be one to four numbers of at least 1")
        for name in ("num_classes", "groups", "width_per_group", "reduce_first"):
            setattr(self, name, whole_number(name, getattr(self, name)))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` (={self.dropout}) must be at least 0 and below 1")
        planes = _planes(self.base_planes, stages)
        if len(planes) != stages or min(planes) < 1:
            raise ValueError(
                f"`base_planes` (={self.base_planes}) must be at least 1, or {stages} such "
                "numbers, one a stage"
            )
        blocks = _blocks(self.block, stages)
        if len(blocks) != stages:
            raise ValueError(
                f"`block` (={self.block}) must be one block or {stages} of them, one a stage"
            )
        widths = self.widths
        if widths is not None and [len(stage) for stage in widths] != list(self.layers):
            raise ValueError(
                f"`widths` must have the channels of {list(self.layers)} blocks, as `layers`, not "
                f"of {[len(stage) for stage in widths]}"
            )
        if any(channels < 1 for stage in widths or () for block in stage for channels in block):
            raise ValueError(f"`widths` (={widths}) must be at least 1 each")
        replace = self.replace_stride_with_dilation
        if replace is not None and len(replace) != stages - 1:
            raise ValueError(
                f"`replace_stride_with_dilation` (={replace}) must be None or have {stages - 1} "
                "entries, one for each stage but the first"
            )
        choose("stem", self.stem, STEMS)
        # A block that cannot have these options says so now, not when it is first applied.
        options = _block_options(self) | ({"out_dilation": 2} if any(replace or ()) else {})
        for block, width in zip(blocks, planes, strict=True):
            block(
                planes=width,
                groups=self.groups,
                base_width=self.width_per_group,
                dilation=2 if any(replace or ()) else 1,
                parent=None,
                **options,
            )
        super().__post_init__()

    def setup(self) -> None:
        """Make the layers under torchvision's names."""
        norm_layer: NormLayer = BatchNorm if self.norm_layer is None else self.norm_layer
        stages = len(self.layers)
        planes = _planes(self.base_planes, stages)
        options = _block_options(self)
        shared = {name: options[name] for name in ("act", "anti_alias") if name in options}
        self.stem_module = choose("stem", self.stem, STEMS)(
            planes=planes[0],
            norm_layer=norm_layer,
            dtype=self.dtype,
            axis_name=self.axis_name,
            **shared,
        )
        # torchvision has `conv1` and `bn1` beside the stages, without a level for the stem.
        nn.share_scope(self, self.stem_module)
        blocks = _blocks(self.block, stages)
        replace = self.replace_stride_with_dilation or (False,) * (stages - 1)
        dilation = 1
        for stage, (count, dilate) in enumerate(
            zip(self.layers, (False, *replace), strict=True), start=1
        ):
            block = blocks[stage - 1]
            block = nn.remat(block, static_argnums=(2,)) if self.remat else block
            stride = 1 if stage == 1 else 2
            # The stage's first block still has the dilation of the stage before.
            previous = dilation
            if dilate:
                dilation, stride = dilation * stride, 1
            for index in range(count):
                if self.widths is not None:
                    options["widths"] = self.widths[stage - 1][index]
                first_dilates = index == 0 and previous != dilation
                module = block(
                    planes=planes[stage - 1],
                    stride=stride if index == 0 else 1,
                    groups=self.groups,
                    base_width=self.width_per_group,
                    dilation=previous if index == 0 else dilation,
                    zero_init_residual=self.zero_init_residual,
                    norm_layer=norm_layer,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    **options,
                    **({"out_dilation": dilation} if first_dilates else {}),
                )
                setattr(self, f"layer{stage}_{index}", module)
        if self.final_norm:
            self.final_bn = norm_layer(
                scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name
            )
        self.fc = Dense(self.num_classes)

    @nn.nowrap
    def tabulate(self, *args: Any, **options: Any) -> str:
        """Return a table of the modules; see Flax, whose arguments it takes."""
        with countable_flops():
            return super().tabulate(*args, **options)

    def features(self, x: Array, train: bool = False) -> dict[str, Array]:
        """Return the maps of the stem and the stages, and the pooled vector of the last one.

        Args:
            x: images `[batch, height, width, channels]`, floating point, normalised.
            train: normalise with the batch's statistics.

        Returns:
            `stem` (after its pool), `layer1`, `layer2`, …: `[batch, height', width', channels]`;
            `pooled`: `[batch, channels]`, the mean of the last stage over space, with `final_norm`
            of the normalised and activated one.

        Raises:
            ValueError: if `x` does not have four axes.
            TypeError: if `x` is not floating point.
        """
        if x.ndim != 4:
            raise ValueError(
                f"`x` has shape {x.shape}, but images are [batch, height, width, channels]; "
                "add a batch axis with x[None]"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"`x` has dtype {x.dtype}, but images must be floating point and normalised"
            )
        if self.dtype is not None:
            x = x.astype(self.dtype)
        x = self.stem_module(x, train)
        maps = {"stem": x}
        for stage, count in enumerate(self.layers, start=1):
            for index in range(count):
                x = getattr(self, f"layer{stage}_{index}")(x, train)
            maps[f"layer{stage}"] = x
        if self.final_norm:
            x = (nn.relu if self.act is None else self.act)(self.final_bn(x, train))
        maps["pooled"] = x.mean((1, 2), dtype=float32_or_wider(x.dtype))
        return maps

    def __call__(self, x: Array, train: bool = False) -> Array:
        """Return the logits `[batch, num_classes]` of images `[batch, height, width, channels]`.

        Args:
            x: the images, floating point, normalised.
            train: normalise with the batch's statistics, and update the running ones (which needs
                `mutable=["batch_stats"]` in `apply`) and drop values, with `dropout`.
        """
        return self.fc(self.features(x, train)["pooled"])


def _blocks(block: Block | Sequence[Block], stages: int) -> Sequence[Block]:
    """Return the block of each stage."""
    return block if isinstance(block, Sequence) else (block,) * stages


def _planes(base_planes: int | Sequence[int], stages: int) -> Sequence[int]:
    """Return the planes of each stage."""
    if isinstance(base_planes, Sequence):
        return [whole_number("base_planes", planes, least=None) for planes in base_planes]
    first = whole_number("base_planes", base_planes, least=None)
    return [first * 2**stage for stage in range(stages)]


def _block_options(model: ResNet) -> dict[str, Any]:
    """Return the options that only some blocks have, as far as the network has them."""
    options: dict[str, Any] = {}
    for name, table in (
        ("shortcut", SHORTCUTS),
        ("attention", ATTENTIONS),
        ("anti_alias", ANTI_ALIASES),
    ):
        if (part := getattr(model, name)) is not None:
            options[name] = choose(name, part, table)
    if model.act is not None:
        options["act"] = model.act
    if model.reduce_first != 1:
        options["reduce_first"] = model.reduce_first
    if model.dropout:
        options["dropout"] = model.dropout
    return options
