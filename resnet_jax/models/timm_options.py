"""The arguments of timm's `ResNet`, as its JSON files hold them, as options of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import jax
from flax import linen as nn

from .blocks import BasicBlock, Block, Bottleneck
from .layers import Activation, GroupNorm, NormLayer
from .options import ResNetOptions
from .shortcuts import Downsample, Shortcut
from .stems import STEMS, ConvStem, DeepStem, Stem
from .variants import VARIANTS

Row = TypeVar("Row")

_BLOCKS: Mapping[str, Block] = {"basicblock": BasicBlock, "bottleneck": Bottleneck}
_STRIDES: Mapping[str, tuple[bool, bool, bool] | None] = {
    "32": None,
    "16": (False, False, True),
    "8": (False, True, True),
}
_ACTIVATIONS: Mapping[str, Activation | None] = {
    "relu": None,
    "silu": nn.silu,
    "swish": nn.silu,
    "leakyrelu": nn.leaky_relu,
    "relu6": nn.relu6,
    "gelu": partial(nn.gelu, approximate=False),
    "elu": nn.elu,
    "mish": jax.nn.mish,
    "hardswish": nn.hard_swish,
}
_NORMS: Mapping[str, NormLayer | None] = {
    "batchnorm": None,
    "batchnorm2d": None,
    "groupnorm": GroupNorm,
}
_ATTENTIONS: Mapping[str, str | None] = {"": None, "none": None, "se": "se", "eca": "eca"}
_ANTI_ALIASES: Mapping[str, str | None] = {
    "": None,
    "none": None,
    "blur": "blur",
    "blurpool": "blur",
    "avg": "average",
    "avgpool": "average",
}
_STEM_TYPES: Mapping[str, str] = {"": "", "none": "", "deep": "deep", "deeptiered": "deep_tiered"}

# Arguments that are no options of a network, with those values that change nothing here.
_WITHOUT_EFFECT: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "num_classes": lambda value: True,
        "in_chans": lambda value: True,
        "global_pool": lambda value: value == "avg",
        "drop_rate": lambda value: not value,
        "drop_path_rate": lambda value: not value,
        "drop_block_rate": lambda value: not value,
    }
)
# Arguments that are options under another name, or hold one by name.
_OPTIONS: Mapping[str, Callable[[str, Any], ResNetOptions]] = MappingProxyType(
    {
        "block": lambda name, value: {"block": _blocks(name, value)},
        "layers": lambda name, value: {"layers": tuple(value)},
        "cardinality": lambda name, value: {"groups": value},
        "base_width": lambda name, value: {"width_per_group": value},
        "block_reduce_first": lambda name, value: {"reduce_first": value},
        "channels": lambda name, value: {"base_planes": tuple(value)},
        "zero_init_last": lambda name, value: {"zero_init_residual": bool(value)},
        "output_stride": lambda name, value: {
            "replace_stride_with_dilation": _known(name, value, _STRIDES)
        },
        "act_layer": lambda name, value: {"act": _known(name, value, _ACTIVATIONS)},
        "norm_layer": lambda name, value: {"norm_layer": _known(name, value, _NORMS)},
        "aa_layer": lambda name, value: {"anti_alias": _known(name, value, _ANTI_ALIASES)},
        "block_args": lambda name, value: _block_args(name, value),
    }
)
# Arguments that several options follow from together.
_OF_SHORTCUT = ("avg_down", "down_kernel_size")
_OF_STEM = ("stem_type", "stem_width", "replace_stem_pool")


def options_from_timm(model_args: Mapping[str, Any], variant: str | None = None) -> ResNetOptions:
    """Return the options that arguments of timm's `ResNet` stand for.

    `num_classes` and `in_chans` are no options: the first is an argument of `create_model`, the
    second follows from the weights.

    Args:
        model_args: arguments by timm's names, with the values that JSON has: the `model_args` of a
            `config.json`.
        variant: the variant that the arguments modify, a key of `VARIANTS`; None is timm's plain
            `ResNet`.

    Returns:
        Options for `create_model(variant, num_classes, **options)`; those that the arguments do not
        mention are left out. `block` and `layers` are among them where they are given.

    Raises:
        ValueError: for an argument or a value that has no counterpart, by its name, and for an
            unknown variant.

    >>> options_from_timm({"cardinality": 32, "base_width": 4, "output_stride": 16})
    {'groups': 32, 'width_per_group': 4, 'replace_stride_with_dilation': (False, False, True)}
    """
    if variant is not None and variant not in VARIANTS:
        raise ValueError(f"`variant` (={variant!r}) must be one of {', '.join(VARIANTS)}")
    base: ResNetOptions = {} if variant is None else VARIANTS[variant].options
    known = (*_OPTIONS, *_OF_SHORTCUT, *_OF_STEM, *_WITHOUT_EFFECT)
    options: ResNetOptions = {}
    for name, value in model_args.items():
        if name not in known:
            raise ValueError(f"timm's argument `{name}` must be one of {', '.join(known)}")
        if name in _OPTIONS:
            options.update(_OPTIONS[name](name, value))
        elif name in _WITHOUT_EFFECT and not _WITHOUT_EFFECT[name](value):
            raise ValueError(f"timm's argument `{name}` (={value!r}) has no counterpart here")
    if any(name in model_args for name in _OF_SHORTCUT):
        options["shortcut"] = _shortcut(model_args, base.get("shortcut"))
    if any(name in model_args for name in (*_OF_STEM, "aa_layer", "channels")):
        options["stem"] = _stem(model_args, base, options)
    return options


def _known(name: str, value: Any, table: Mapping[str, Row]) -> Row:
    """Return the row of a table for a value, in any spelling of its name."""
    key = "" if value is None else str(value).lower().replace("_", "").replace("-", "")
    if key not in table:
        names = ", ".join(repr(known) for known in table)
        raise ValueError(f"timm's argument `{name}` (={value!r}) must be one of {names}")
    return table[key]


def _blocks(name: str, value: Any) -> Block | list[Block]:
    if isinstance(value, str):
        return _known(name, value, _BLOCKS)
    return [_known(name, block, _BLOCKS) for block in value]


def _block_args(name: str, value: Mapping[str, Any] | None) -> ResNetOptions:
    for argument in value or {}:
        if argument != "attn_layer":
            raise ValueError(f"timm's argument `{name}` has `{argument}`; it may have `attn_layer`")
    if not value:
        return {}
    return {"attention": _known("attn_layer", value["attn_layer"], _ATTENTIONS)}


def _shortcut(model_args: Mapping[str, Any], base: str | Shortcut | None) -> str | Shortcut:
    """Return the shortcut; timm's average pooling goes without a larger kernel."""
    size = base.keywords["kernel_size"] if isinstance(base, partial) else 1
    size = model_args.get("down_kernel_size", size)
    if model_args.get("avg_down", base == "average"):
        return "average"
    return "projection" if size == 1 else partial(Downsample, kernel_size=size)


class _StemArguments(NamedTuple):
    """What timm says of a stem: its type, the width of its convolutions, its pool."""

    kind: str = ""
    width: int = 64
    pool: str | None = "max"


def _stem(
    model_args: Mapping[str, Any], variant: ResNetOptions, options: ResNetOptions
) -> str | Stem:
    """Return the stem of a variant that timm's arguments, the given options, modify."""
    base = _arguments_of(variant.get("stem", "imagenet"), _first_planes(variant))
    merged: ResNetOptions = {**variant, **options}
    first = _first_planes(merged)
    kind = base.kind
    if "stem_type" in model_args:
        kind = _known("stem_type", model_args["stem_type"], _STEM_TYPES)
    width = model_args.get("stem_width", base.width)
    if model_args.get("replace_stem_pool", base.pool == "conv"):
        pool = "conv"
    else:
        pool = "average" if merged.get("anti_alias") == "average" else "max"
    # Timm's single convolution has 64 channels in every network.
    usual = 2 * width == first if kind else first == 64
    if usual and pool == "max":
        return kind or "imagenet"
    changes: dict[str, Any] = {} if usual else {"width": width if kind else 64}
    changes |= {} if pool == "max" else {"pool": pool}
    if not kind:
        return partial(ConvStem, **changes)
    changes |= {"tiered": True} if kind == "deep_tiered" else {}
    return partial(DeepStem, **changes)


def _first_planes(options: ResNetOptions) -> int:
    planes = options.get("base_planes", 64)
    return planes if isinstance(planes, int) else planes[0]


def _arguments_of(stem: str | Stem, planes: int) -> _StemArguments:
    """Return what timm would say of a stem of the table of variants."""
    make = STEMS[stem] if isinstance(stem, str) else stem
    given = make.keywords if isinstance(make, partial) else {}
    pool = given.get("pool", "max")
    if make is not DeepStem and not (isinstance(make, partial) and make.func is DeepStem):
        return _StemArguments(pool=pool)
    kind = "deep_tiered" if given.get("tiered") else "deep"
    return _StemArguments(kind, given.get("width", planes // 2), pool)
