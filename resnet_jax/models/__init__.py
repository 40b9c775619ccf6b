"""The ResNet family as Flax linen modules, and its weights in torch's formats.

A `ResNet` is made of parts, each of which may be another one. An option takes a class or a partial
with the interface that the protocol beside it describes:

- `block`: `Block`; `ResidualBlock` and `PreactivationBlock` are base classes that bring the fields,
  the normalisations and the shortcut;
- `stem`: `Stem`; `shortcut`: `Shortcut`; `attention`: `Attention`; `anti_alias`: `AntiAlias`;
  `norm_layer`: `NormLayer`; `act`: `Activation`. The table of an option, such as `STEMS`, has those
  that are known by name.

`Conv` and `Dense` initialise as torch does and name their parameters so that `to_torch` and
`from_torch` know them; `BatchNorm` has torch's running statistics. A network is a module like any
other: `model.features(x, train)` gives another module the map of every stage.

>>> import jax, jax.numpy as jnp
>>> from flax import linen as nn
>>> class Pyramid(nn.Module):
...     backbone: ResNet
...
...     @nn.compact
...     def __call__(self, x, train=False):
...         maps = self.backbone.features(x, train)
...         return [Conv(16, 1)(maps[stage]) for stage in ("layer2", "layer3")]
>>> pyramid = Pyramid(resnet20(layers=(1, 1, 1), base_planes=4))
>>> variables = pyramid.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
>>> [level.shape for level in pyramid.apply(variables, jnp.zeros((1, 32, 32, 3)))]
[(1, 16, 16, 16), (1, 8, 8, 16)]

Attributes:
    ANTI_ALIASES: the table of the low-pass filters, a read-only mapping from name to `AntiAlias`.
    Activation: the type of an activation, a function of an array.
    ATTENTIONS: the table of the attentions, a read-only mapping from name to `Attention`.
    SHORTCUTS: the table of the shortcuts, a read-only mapping from name to `Shortcut`.
    STAGES: the names of the stages of a ResNet, from the image to the logits.
    STEMS: the table of the stems, a read-only mapping from name to `Stem`.
    VARIANTS: the table of the named variants, a read-only mapping from name to `Variant`.
"""

from .anti_alias import ANTI_ALIASES, AntiAlias, AveragePool, BlurPool
from .attention import ATTENTIONS, Attention, EfficientChannelAttention, SqueezeExcite
from .blocks import BasicBlock, Block, Bottleneck, ResidualBlock
from .folding import FoldedNetwork, fold_batch_norm
from .freezing import STAGES, freeze_batch_norm, stage_of, stages_up_to
from .layers import Activation, BatchNorm, Conv, Dense, GroupNorm, NormLayer
from .options import ResNetOptions, Variant
from .preactivation import PreactivationBasicBlock, PreactivationBlock, PreactivationBottleneck
from .resnet import ResNet
from .shortcuts import (
    SHORTCUTS,
    AverageDownsample,
    ConvDownsample,
    Downsample,
    PadDownsample,
    Shortcut,
)
from .stems import STEMS, ConvStem, DeepStem, PooledStem, PreactivationStem, Stem
from .timm_options import options_from_timm
from .torch_names import WeightsError, image_channels
from .torch_weights import from_torch, to_torch
from .variants import (
    VARIANTS,
    create_model,
    preact_resnet18,
    preact_resnet34,
    preact_resnet50,
    preact_resnet110,
    preact_resnet164,
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
    resnext29_2x64d,
    resnext29_4x64d,
    resnext29_8x64d,
    resnext29_32x4d,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet16_8,
    wide_resnet28_10,
    wide_resnet40_4,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .weight_files import load_weights, save_weights

__all__ = [
    "ANTI_ALIASES",
    "ATTENTIONS",
    "SHORTCUTS",
    "STAGES",
    "STEMS",
    "VARIANTS",
    "Activation",
    "AntiAlias",
    "Attention",
    "AverageDownsample",
    "AveragePool",
    "BasicBlock",
    "BatchNorm",
    "Block",
    "BlurPool",
    "Bottleneck",
    "Conv",
    "ConvDownsample",
    "ConvStem",
    "DeepStem",
    "Dense",
    "Downsample",
    "EfficientChannelAttention",
    "FoldedNetwork",
    "GroupNorm",
    "NormLayer",
    "PadDownsample",
    "PooledStem",
    "PreactivationBasicBlock",
    "PreactivationBlock",
    "PreactivationBottleneck",
    "PreactivationStem",
    "ResNet",
    "ResNetOptions",
    "ResidualBlock",
    "Shortcut",
    "SqueezeExcite",
    "Stem",
    "Variant",
    "WeightsError",
    "create_model",
    "fold_batch_norm",
    "freeze_batch_norm",
    "from_torch",
    "image_channels",
    "load_weights",
    "options_from_timm",
    "preact_resnet18",
    "preact_resnet34",
    "preact_resnet50",
    "preact_resnet110",
    "preact_resnet164",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnext29_2x64d",
    "resnext29_4x64d",
    "resnext29_8x64d",
    "resnext29_32x4d",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "save_weights",
    "stage_of",
    "stages_up_to",
    "to_torch",
    "wide_resnet16_8",
    "wide_resnet28_10",
    "wide_resnet40_4",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
