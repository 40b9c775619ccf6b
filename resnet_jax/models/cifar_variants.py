"""The variants that papers compare on CIFAR, for images of 32 × 32 pixels and 10 classes.

Those of three stages are the papers'. `preact_resnet18`, `34` and `50` are ImageNet's networks
with a 3×3 stem, as torch repositories have them: without the normalisation that the paper has
behind the last block, which `final_norm=True` adds.

References:
    He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2 (resnet); He et al. 2016,
    https://arxiv.org/abs/1603.05027 (preact_resnet); Zagoruyko and Komodakis 2016,
    https://arxiv.org/abs/1605.07146 (wide_resnet); Xie et al. 2016,
    https://arxiv.org/abs/1611.05431, section 5.4 (resnext29).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from .blocks import BasicBlock, Block, Bottleneck
from .options import ResNetOptions, Variant
from .preactivation import PreactivationBasicBlock, PreactivationBottleneck
from .stems import PreactivationStem

PLAIN: ResNetOptions = {"stem": "cifar", "base_planes": 16, "shortcut": "pad"}
PREACT: ResNetOptions = {"stem": "cifar_preact"}
NARROW_PREACT: ResNetOptions = {"stem": "cifar_preact", "base_planes": 16, "final_norm": True}


def _row(block: Block, layers: tuple[int, ...], parameters: int, options: ResNetOptions) -> Variant:
    return Variant(block, layers, parameters, options, num_classes=10)


def _wide(blocks: int, factor: int, parameters: int) -> Variant:
    """Make the row of a network whose stages have `factor` times the planes of a narrow one."""
    options: ResNetOptions = {
        "stem": partial(PreactivationStem, width=16),
        "base_planes": 16 * factor,
        "final_norm": True,
    }
    return _row(PreactivationBasicBlock, (blocks,) * 3, parameters, options)


def _next(groups: int, width: int, parameters: int) -> Variant:
    options: ResNetOptions = {"stem": "cifar", "groups": groups, "width_per_group": width}
    return _row(Bottleneck, (3, 3, 3), parameters, options)


CIFAR_VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "resnet20": _row(BasicBlock, (3, 3, 3), 269_722, PLAIN),
        "resnet32": _row(BasicBlock, (5, 5, 5), 464_154, PLAIN),
        "resnet44": _row(BasicBlock, (7, 7, 7), 658_586, PLAIN),
        "resnet56": _row(BasicBlock, (9, 9, 9), 853_018, PLAIN),
        "resnet110": _row(BasicBlock, (18, 18, 18), 1_727_962, PLAIN),
        "preact_resnet18": _row(PreactivationBasicBlock, (2, 2, 2, 2), 11_171_146, PREACT),
        "preact_resnet34": _row(PreactivationBasicBlock, (3, 4, 6, 3), 21_279_306, PREACT),
        "preact_resnet50": _row(PreactivationBottleneck, (3, 4, 6, 3), 23_509_066, PREACT),
        "preact_resnet110": _row(PreactivationBasicBlock, (18, 18, 18), 1_730_522, NARROW_PREACT),
        "preact_resnet164": _row(PreactivationBottleneck, (18, 18, 18), 1_703_258, NARROW_PREACT),
        "wide_resnet16_8": _wide(2, 8, 10_961_370),
        "wide_resnet28_10": _wide(4, 10, 36_479_194),
        "wide_resnet40_4": _wide(6, 4, 8_949_210),
        "resnext29_8x64d": _next(8, 64, 34_426_698),
        "resnext29_4x64d": _next(4, 64, 17_562_442),
        "resnext29_2x64d": _next(2, 64, 9_130_314),
        "resnext29_32x4d": _next(32, 4, 4_775_754),
    }
)
"""Every variant for CIFAR, with its parameters at 10 classes."""
