"""The variants that timm adds to torchvision's, by timm's names.

In the names c stands for a deep stem, d for a deep stem and an average pool in the shortcut, s for
a wide deep stem, t for a tiered deep stem and the average pool, aa for average pooling and blur for
a binomial filter against aliasing, rs for ResNet-RS.

References:
    He et al. 2018, https://arxiv.org/abs/1812.01187 (c, d); Bello et al. 2021,
    https://arxiv.org/abs/2103.07579 (rs); Hu et al. 2017, https://arxiv.org/abs/1709.01507 (se);
    Wang et al. 2019, https://arxiv.org/abs/1910.03151 (eca); Zhang 2019,
    https://arxiv.org/abs/1904.11486 (blur); Wu and He 2018, https://arxiv.org/abs/1803.08494 (gn).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from . import pruned
from .attention import SqueezeExcite
from .blocks import BasicBlock, Block, Bottleneck
from .layers import GroupNorm
from .options import ResNetOptions, Variant
from .shortcuts import Downsample
from .stems import ConvStem, DeepStem

C: ResNetOptions = {"stem": "deep"}
D: ResNetOptions = {"stem": "deep", "shortcut": "average"}
T: ResNetOptions = {"stem": "deep_tiered", "shortcut": "average"}
S: ResNetOptions = {"stem": partial(DeepStem, width=64)}
RS: ResNetOptions = {
    "stem": partial(DeepStem, pool="conv"),
    "shortcut": "average",
    "attention": partial(SqueezeExcite, ratio=0.25),
}
SENET: ResNetOptions = {
    "stem": partial(DeepStem, width=64),
    "shortcut": partial(Downsample, kernel_size=3),
    "reduce_first": 2,
}
AVERAGE: ResNetOptions = {"shortcut": "average"}
SE: ResNetOptions = {"attention": "se"}
ECA: ResNetOptions = {"attention": "eca"}
BLUR: ResNetOptions = {"anti_alias": "blur"}
AA: ResNetOptions = {"anti_alias": "average", "stem": partial(ConvStem, pool="average")}
AA_D: ResNetOptions = {
    "anti_alias": "average",
    "stem": partial(DeepStem, pool="average"),
    "shortcut": "average",
}
WIDE_AA: ResNetOptions = {"stem": partial(DeepStem, width=64, pool="average")}
PRUNED_50: ResNetOptions = {"widths": pruned.ECA_RESNET_50}
PRUNED_101: ResNetOptions = {"widths": pruned.ECA_RESNET_101}
TINY: ResNetOptions = {"base_planes": (32, 48, 48, 96)}
GROUP_NORM: ResNetOptions = {"norm_layer": GroupNorm}
X32_4D: ResNetOptions = {"groups": 32, "width_per_group": 4}
X32_8D: ResNetOptions = {"groups": 32, "width_per_group": 8}
X32_16D: ResNetOptions = {"groups": 32, "width_per_group": 16}
X32_32D: ResNetOptions = {"groups": 32, "width_per_group": 32}
X32_48D: ResNetOptions = {"groups": 32, "width_per_group": 48}
X64_4D: ResNetOptions = {"groups": 64, "width_per_group": 4}


def _row(
    block: Block | Sequence[Block],
    layers: tuple[int, int, int, int],
    parameters: int,
    *options: ResNetOptions,
) -> Variant:
    """Make a row; later options take precedence."""
    merged: ResNetOptions = {}
    for part in options:
        merged.update(part)
    return Variant(block, layers, parameters, merged)


TIMM_VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "resnet10t": _row(BasicBlock, (1, 1, 1, 1), 5_435_488, T),
        "resnet14t": _row(Bottleneck, (1, 1, 1, 1), 10_081_632, T),
        "resnet18d": _row(BasicBlock, (2, 2, 2, 2), 11_708_744, D),
        "resnet34d": _row(BasicBlock, (3, 4, 6, 3), 21_816_904, D),
        "resnet26": _row(Bottleneck, (2, 2, 2, 2), 15_995_176),
        "resnet26t": _row(Bottleneck, (2, 2, 2, 2), 16_011_872, T),
        "resnet26d": _row(Bottleneck, (2, 2, 2, 2), 16_014_408, D),
        "resnet50c": _row(Bottleneck, (3, 4, 6, 3), 25_576_264, C),
        "resnet50d": _row(Bottleneck, (3, 4, 6, 3), 25_576_264, D),
        "resnet50s": _row(Bottleneck, (3, 4, 6, 3), 25_680_808, S),
        "resnet50t": _row(Bottleneck, (3, 4, 6, 3), 25_573_728, T),
        "resnet101c": _row(Bottleneck, (3, 4, 23, 3), 44_568_392, C),
        "resnet101d": _row(Bottleneck, (3, 4, 23, 3), 44_568_392, D),
        "resnet101s": _row(Bottleneck, (3, 4, 23, 3), 44_672_936, S),
        "resnet152c": _row(Bottleneck, (3, 8, 36, 3), 60_212_040, C),
        "resnet152d": _row(Bottleneck, (3, 8, 36, 3), 60_212_040, D),
        "resnet152s": _row(Bottleneck, (3, 8, 36, 3), 60_316_584, S),
        "resnet200": _row(Bottleneck, (3, 24, 36, 3), 64_673_832),
        "resnet200d": _row(Bottleneck, (3, 24, 36, 3), 64_693_064, D),
        "resnet50_gn": _row(Bottleneck, (3, 4, 6, 3), 25_557_032, GROUP_NORM),
        "resnext50d_32x4d": _row(Bottleneck, (3, 4, 6, 3), 25_048_136, D, X32_4D),
        "resnext101_32x4d": _row(Bottleneck, (3, 4, 23, 3), 44_177_704, X32_4D),
        "resnext101_32x16d": _row(Bottleneck, (3, 4, 23, 3), 194_026_792, X32_16D),
        "resnext101_32x32d": _row(Bottleneck, (3, 4, 23, 3), 468_530_472, X32_32D),
        "resnext101_32x48d": _row(Bottleneck, (3, 4, 23, 3), 828_411_176, X32_48D),
        "ecaresnet26t": _row(Bottleneck, (2, 2, 2, 2), 16_011_916, T, ECA),
        "ecaresnet50d": _row(Bottleneck, (3, 4, 6, 3), 25_576_350, D, ECA),
        "ecaresnet50d_pruned": _row(Bottleneck, (3, 4, 6, 3), 19_939_713, D, ECA, PRUNED_50),
        "ecaresnet50t": _row(Bottleneck, (3, 4, 6, 3), 25_573_814, T, ECA),
        "ecaresnetlight": _row(Bottleneck, (1, 1, 11, 3), 30_162_046, AVERAGE, ECA),
        "ecaresnet101d": _row(Bottleneck, (3, 4, 23, 3), 44_568_563, D, ECA),
        "ecaresnet101d_pruned": _row(Bottleneck, (3, 4, 23, 3), 24_876_040, D, ECA, PRUNED_101),
        "ecaresnet200d": _row(Bottleneck, (3, 24, 36, 3), 64_693_400, D, ECA),
        "ecaresnet269d": _row(Bottleneck, (3, 30, 48, 8), 102_093_077, D, ECA),
        "ecaresnext26t_32x4d": _row(Bottleneck, (2, 2, 2, 2), 15_406_220, T, X32_4D, ECA),
        "ecaresnext50t_32x4d": _row(Bottleneck, (3, 4, 6, 3), 25_045_686, T, X32_4D, ECA),
        "seresnet18": _row(BasicBlock, (2, 2, 2, 2), 11_779_624, SE),
        "seresnet34": _row(BasicBlock, (3, 4, 6, 3), 21_960_416, SE),
        "seresnet50": _row(Bottleneck, (3, 4, 6, 3), 28_088_024, SE),
        "seresnet50t": _row(Bottleneck, (3, 4, 6, 3), 28_104_720, T, SE),
        "seresnet101": _row(Bottleneck, (3, 4, 23, 3), 49_326_872, SE),
        "seresnet152": _row(Bottleneck, (3, 8, 36, 3), 66_821_848, SE),
        "seresnet152d": _row(Bottleneck, (3, 8, 36, 3), 66_841_080, D, SE),
        "seresnet200d": _row(Bottleneck, (3, 24, 36, 3), 71_855_096, D, SE),
        "seresnet269d": _row(Bottleneck, (3, 30, 48, 8), 113_672_760, D, SE),
        "seresnext26d_32x4d": _row(Bottleneck, (2, 2, 2, 2), 16_809_512, D, X32_4D, SE),
        "seresnext26t_32x4d": _row(Bottleneck, (2, 2, 2, 2), 16_806_976, T, X32_4D, SE),
        "seresnext50_32x4d": _row(Bottleneck, (3, 4, 6, 3), 27_559_896, X32_4D, SE),
        "seresnext101_32x4d": _row(Bottleneck, (3, 4, 23, 3), 48_955_416, X32_4D, SE),
        "seresnext101_32x8d": _row(Bottleneck, (3, 4, 23, 3), 93_569_048, X32_8D, SE),
        "seresnext101d_32x8d": _row(Bottleneck, (3, 4, 23, 3), 93_588_280, D, X32_8D, SE),
        "seresnext101_64x4d": _row(Bottleneck, (3, 4, 23, 3), 88_232_984, X64_4D, SE),
        "senet154": _row(Bottleneck, (3, 8, 36, 3), 115_088_984, SENET, X64_4D, SE),
        "resnetblur18": _row(BasicBlock, (2, 2, 2, 2), 11_689_512, BLUR),
        "resnetblur50": _row(Bottleneck, (3, 4, 6, 3), 25_557_032, BLUR),
        "resnetblur50d": _row(Bottleneck, (3, 4, 6, 3), 25_576_264, D, BLUR),
        "resnetblur101d": _row(Bottleneck, (3, 4, 23, 3), 44_568_392, D, BLUR),
        "resnetaa34d": _row(BasicBlock, (3, 4, 6, 3), 21_816_904, AA_D),
        "resnetaa50": _row(Bottleneck, (3, 4, 6, 3), 25_557_032, AA),
        "resnetaa50d": _row(Bottleneck, (3, 4, 6, 3), 25_576_264, AA_D),
        "resnetaa101d": _row(Bottleneck, (3, 4, 23, 3), 44_568_392, AA_D),
        "seresnetaa50d": _row(Bottleneck, (3, 4, 6, 3), 28_107_256, AA_D, SE),
        "seresnextaa101d_32x8d": _row(Bottleneck, (3, 4, 23, 3), 93_588_280, AA_D, X32_8D, SE),
        "seresnextaa201d_32x8d": _row(
            Bottleneck,
            (3, 24, 36, 4),
            149_394_904,
            AA_D,
            {"stem": partial(DeepStem, width=64, pool="average")},
            X32_8D,
            SE,
        ),
        "resnetrs50": _row(Bottleneck, (3, 4, 6, 3), 35_691_912, RS),
        "resnetrs101": _row(Bottleneck, (3, 4, 23, 3), 63_618_696, RS),
        "resnetrs152": _row(Bottleneck, (3, 8, 36, 3), 86_621_576, RS),
        "resnetrs200": _row(Bottleneck, (3, 24, 36, 3), 93_209_992, RS),
        "resnetrs270": _row(Bottleneck, (4, 29, 53, 4), 129_861_448, RS),
        "resnetrs350": _row(Bottleneck, (4, 36, 72, 4), 163_956_168, RS),
        "resnetrs420": _row(Bottleneck, (4, 44, 87, 4), 191_891_656, RS),
        "test_resnet": _row(
            (BasicBlock, BasicBlock, Bottleneck, BasicBlock),
            (1, 1, 1, 1),
            469_688,
            D,
            {"base_planes": (32, 48, 48, 96)},
        ),
    }
)
"""Every architecture that timm 1.0.31's `resnet.py` has weights for, besides torchvision's ten."""
