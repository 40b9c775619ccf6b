"""Arguments of timm's `ResNet` become our options, or are refused by name."""

from functools import partial

import pytest
from flax import linen as nn

from resnet_jax.models import (
    VARIANTS,
    BasicBlock,
    Bottleneck,
    ConvStem,
    DeepStem,
    Downsample,
    GroupNorm,
    create_model,
    options_from_timm,
)


def plain(options):
    """Return options whose partials compare by what they hold."""
    return {
        name: (value.func, value.keywords) if isinstance(value, partial) else value
        for name, value in options.items()
    }


DEEP = {"stem_type": "deep", "stem_width": 32}
ROWS = {
    "resnet50": {},
    "resnet50c": DEEP,
    "resnet50d": {**DEEP, "avg_down": True},
    "resnet50t": {**DEEP, "stem_type": "deep_tiered", "avg_down": True},
    "resnet50s": {"stem_type": "deep"},
    "resnet50_gn": {"norm_layer": "groupnorm"},
    "resnext50_32x4d": {"cardinality": 32, "base_width": 4},
    "seresnet50": {"block_args": {"attn_layer": "se"}},
    "ecaresnetlight": {"stem_width": 32, "avg_down": True, "block_args": {"attn_layer": "eca"}},
    "resnetblur50": {"aa_layer": "blurpool"},
    "resnetaa50": {"aa_layer": "avg"},
    "resnetaa50d": {**DEEP, "aa_layer": "avgpool", "avg_down": True},
    "senet154": {
        "stem_type": "deep",
        "cardinality": 64,
        "base_width": 4,
        "down_kernel_size": 3,
        "block_reduce_first": 2,
        "block_args": {"attn_layer": "se"},
    },
    "test_resnet": {"stem_type": "deep", "stem_width": 16, "avg_down": True}
    | {"channels": [32, 48, 48, 96]},
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_table(name):
    found = plain(options_from_timm(ROWS[name]))
    # Timm's single convolution ignores the width.
    found = {key: value for key, value in found.items() if value != "imagenet"}
    assert found == plain(VARIANTS[name].options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"output_stride": 32}, {"replace_stride_with_dilation": None}),
        ({"output_stride": 8}, {"replace_stride_with_dilation": (False, True, True)}),
        ({"act_layer": "SiLU"}, {"act": nn.silu}),
        ({"act_layer": "relu"}, {"act": None}),
        ({"norm_layer": "BatchNorm2d"}, {"norm_layer": None}),
        ({"zero_init_last": True}, {"zero_init_residual": True}),
        ({"block": "BasicBlock", "layers": [1, 2, 3, 4]}, {"block": BasicBlock}),
        ({"block": ["BasicBlock", "Bottleneck"]}, {"block": [BasicBlock, Bottleneck]}),
        ({"block_args": None, "aa_layer": None}, {"anti_alias": None, "stem": "imagenet"}),
        ({"num_classes": 7, "in_chans": 1, "drop_rate": 0.0, "global_pool": "avg"}, {}),
        (
            {"replace_stem_pool": True, "channels": [32, 64, 128, 256]},
            {"stem": (ConvStem, {"width": 64, "pool": "conv"})},
        ),
    ],
)
def test_arguments(arguments, options):
    found = plain(options_from_timm(arguments))
    assert {name: found[name] for name in options} == options
    assert found.keys() - options.keys() <= {"layers", "base_planes"}


@pytest.mark.parametrize(
    ("variant", "arguments", "options"),
    [
        ("resnet50d", {"stem_width": 64}, {"stem": (DeepStem, {"width": 64})}),
        ("resnet50d", {"stem_type": ""}, {"stem": "imagenet"}),
        (
            "resnet50",
            {"stem_type": "deep_tiered"},
            {"stem": (DeepStem, {"width": 64} | {"tiered": True})},
        ),
        ("resnetrs50", {"replace_stem_pool": False}, {"stem": "deep"}),
        ("resnetrs50", {"stem_width": 32}, {"stem": (DeepStem, {"pool": "conv"})}),
        ("resnetaa50", {"aa_layer": ""}, {"stem": "imagenet", "anti_alias": None}),
        ("resnet50d", {"avg_down": False}, {"shortcut": "projection"}),
        ("resnet50d", {"down_kernel_size": 3}, {"shortcut": "average"}),
        ("senet154", {"avg_down": False}, {"shortcut": (Downsample, {"kernel_size": 3})}),
        ("resnet50", {"norm_layer": "group_norm"}, {"norm_layer": GroupNorm}),
    ],
)
def test_arguments_that_modify_a_variant(variant, arguments, options):
    found = options_from_timm(arguments, variant)
    assert plain(found) == options
    create_model(variant, 3, **found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"img_size": 224}, r"timm's argument `img_size` must be one of block, layers, card"),
        ({"drop_path_rate": 0.1}, r"`drop_path_rate` \(=0.1\) has no counterpart here"),
        ({"global_pool": "max"}, r"`global_pool` \(='max'\) has no counterpart here"),
        ({"act_layer": "prelu"}, r"`act_layer` \(='prelu'\) must be one of 'relu', 'silu'"),
        ({"norm_layer": "frozen"}, r"`norm_layer` \(='frozen'\) must be one of 'batchnorm'"),
        ({"aa_layer": "blurpc"}, r"`aa_layer` \(='blurpc'\) must be one of '', 'none', 'blur'"),
        ({"block_args": {"attn_layer": "cbam"}}, r"`attn_layer` \(='cbam'\) must be one of"),
        ({"block_args": {"drop_block": 1}}, r"`block_args` has `drop_block`"),
        ({"output_stride": 4}, r"`output_stride` \(=4\) must be one of '32', '16', '8'"),
        ({"stem_type": "shallow"}, r"`stem_type` \(='shallow'\) must be one of"),
        ({"block": "PreAct"}, r"`block` \(='PreAct'\) must be one of 'basicblock', 'bottleneck'"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        options_from_timm(arguments)


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"`variant` \(='vit'\) must be one of resnet18"):
        options_from_timm({}, "vit")
