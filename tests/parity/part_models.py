"""Small networks in which every part beyond torchvision's occurs."""

from functools import partial

from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import (
    ConvStem,
    DeepStem,
    Downsample,
    PreactivationBasicBlock,
    PreactivationBottleneck,
    PreactivationStem,
    SqueezeExcite,
)

PARTS = {
    "deep stem": {
        "stem": "deep",
        "shortcut": "average",
        "attention": "se",
        "block": rj.Bottleneck,
    },
    "no max-pool": {
        "block": rj.BasicBlock,
        "stem": partial(DeepStem, width=12, pool="conv"),
        "attention": partial(SqueezeExcite, ratio=0.25),
        "shortcut": "average",
    },
    "channel attention": {
        "block": rj.Bottleneck,
        "stem": "deep_tiered",
        "attention": "eca",
        "anti_alias": "blur",
        "act": nn.silu,
    },
    "average pools": {
        "block": rj.BasicBlock,
        "stem": partial(ConvStem, pool="average"),
        "anti_alias": "average",
    },
    "SENet": {
        "block": rj.Bottleneck,
        "groups": 4,
        "width_per_group": 16,
        "shortcut": partial(Downsample, kernel_size=3),
        "attention": "se",
        "reduce_first": 2,
    },
    "group norm": {
        "block": rj.BasicBlock,
        "stem": partial(ConvStem, pool="conv"),
        "anti_alias": "blur",
        "norm_layer": partial(rj.GroupNorm, num_groups=4),
    },
    "blocks by stage": {
        "block": (rj.BasicBlock, rj.BasicBlock, rj.Bottleneck, rj.BasicBlock),
        "base_planes": (8, 12, 12, 24),
    },
    "dilated": {
        "block": rj.Bottleneck,
        "shortcut": "average",
        "anti_alias": "blur",
        "replace_stride_with_dilation": (False, True, True),
    },
    "option A": {
        "block": rj.BasicBlock,
        "layers": (2, 1, 1),
        "stem": "cifar",
        "shortcut": "pad",
        "base_planes": (9, 9, 16),
    },
    "pre-activated": {
        "block": PreactivationBasicBlock,
        "layers": (1, 2, 1),
        "stem": partial(PreactivationStem, width=8),
        "final_norm": True,
    },
    "pre-activated bottleneck": {
        "block": PreactivationBottleneck,
        "layers": (1, 1),
        "stem": "cifar_preact",
        "groups": 2,
        "width_per_group": 32,
        "shortcut": "pad",
    },
    "dilated SENet": {
        "block": rj.Bottleneck,
        "shortcut": partial(Downsample, kernel_size=3),
        "anti_alias": "average",
        "replace_stride_with_dilation": (False, False, True),
    },
}


def part_model(kind, **options):
    """Return the small network of a row."""
    options = {"layers": (1, 1, 1, 1), "num_classes": 10, "base_planes": 16, **options}
    return rj.ResNet(**{**options, **PARTS[kind]})
