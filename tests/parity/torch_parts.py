"""Parts of the torch networks: layers, attention, low-pass filters, shortcuts and stems.

They follow from the formulas of the papers; the names of their tensors are timm's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from flax import linen as flax
from torch import Tensor, nn
from torch.nn import functional

from resnet_jax import BatchNorm, GroupNorm, ResNet
from resnet_jax.models import (
    ANTI_ALIASES,
    ATTENTIONS,
    STEMS,
    AverageDownsample,
    BlurPool,
    ConvStem,
    DeepStem,
    PreactivationStem,
    SqueezeExcite,
)

ACTIVATIONS = {None: nn.ReLU, flax.relu: nn.ReLU, flax.silu: nn.SiLU}


def conv(inputs, outputs, size, stride=1, dilation=1, groups=1):
    padding = dilation * (size - 1) // 2
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)


class Excite(nn.Module):
    """Squeeze and excitation, of ⌊ratio · channels⌉ inner channels, a multiple of 8."""

    def __init__(self, channels, ratio):
        super().__init__()
        inner = max(8, 8 * math.floor(channels * ratio / 8 + 0.5))
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class ChannelConvolution(nn.Module):
    """Efficient channel attention: a 1-D convolution over the channels' means."""

    def __init__(self, channels):
        super().__init__()
        nearest = int((math.log2(channels) + 1) / 2)
        size = max(3, nearest + 1 - nearest % 2)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3))[:, None, :])[:, 0].sigmoid()
        return x * gate[:, :, None, None]


class Blur(nn.Module):
    """The binomial filter 1 2 1 in both directions, with reflected borders."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
        x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(x, kernel, stride=self.stride, groups=x.shape[1])


class SameAverage(nn.Module):
    """Mean of 2×2 pixels at distance 1, over zeros at the end."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, 1)


class PadChannels(nn.Module):
    """Every `stride`-th pixel, with zeros in the new channels on both sides."""

    def __init__(self, outputs, stride):
        super().__init__()
        self.outputs, self.stride = outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        more = self.outputs - x.shape[1]
        return functional.pad(x, (0, 0, 0, 0, more // 2, more - more // 2))


@dataclass(frozen=True)
class Parts:
    """The parts of a network, from the options of ours."""

    model: ResNet

    def norm(self, channels):
        """Make a normalisation; the options have `GroupNorm` or a partial of it."""
        make = self.model.norm_layer
        if make is None:
            return nn.BatchNorm2d(channels)
        norm = make(scale_init=flax.initializers.ones, dtype=None, axis_name=None)
        assert isinstance(norm, GroupNorm)
        return nn.GroupNorm(norm.num_groups, channels, norm.epsilon)

    def act(self):
        return ACTIVATIONS[self.model.act]()

    def attention(self, channels):
        choice = self.model.attention
        if choice is None:
            return None
        made = ATTENTIONS.get(choice, choice)(channels=channels, dtype=None)
        if isinstance(made, SqueezeExcite):
            return Excite(channels, made.ratio)
        return ChannelConvolution(channels)

    def anti_alias(self, stride):
        choice = self.model.anti_alias
        if choice is None:
            return nn.Identity()
        made = ANTI_ALIASES.get(choice, choice)(stride=stride)
        return Blur(stride) if isinstance(made, BlurPool) else nn.AvgPool2d(stride)

    def shortcut(self, inputs, outputs, stride, dilation, out_dilation):
        if stride == 1 and inputs == outputs:
            return None
        choice = self.model.shortcut
        if choice == "pad":
            return PadChannels(outputs, stride)
        if choice == "conv":
            return nn.Sequential(conv(inputs, outputs, 1, stride))
        if choice == "average" or choice is AverageDownsample:
            if stride > 1:
                pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
            else:
                pool = SameAverage() if out_dilation > 1 else nn.Identity()
            return nn.Sequential(pool, conv(inputs, outputs, 1), self.norm(outputs))
        size = choice.keywords["kernel_size"] if isinstance(choice, partial) else 1
        if stride == 1 and out_dilation == 1:
            size = 1
        return nn.Sequential(conv(inputs, outputs, size, stride, dilation), self.norm(outputs))

    def add_stem(self, net: nn.Module, channels: int, planes: int) -> int:
        """Add `conv1`, `bn1`, `relu1` and `maxpool` to a network, and return its channels."""
        choice = self.model.stem
        make = STEMS[choice] if isinstance(choice, str) else choice
        stem = make(planes=planes, norm_layer=BatchNorm, dtype=None, axis_name=None)
        if isinstance(stem, PreactivationStem):
            outputs = planes if stem.width is None else stem.width
            net.conv1 = conv(channels, outputs, stem.kernel_size, stem.stride)
            net.bn1 = net.relu1 = net.maxpool = None
            return outputs
        if isinstance(stem, DeepStem):
            first, second, outputs = stem.widths
            net.conv1 = nn.Sequential(
                conv(channels, first, 3, 2),
                self.norm(first),
                self.act(),
                conv(first, second, 3),
                self.norm(second),
                self.act(),
                conv(second, outputs, 3),
            )
        else:
            assert isinstance(stem, ConvStem)
            outputs = planes if stem.width is None else stem.width
            net.conv1 = conv(channels, outputs, stem.kernel_size, stem.stride)
        net.bn1 = self.norm(outputs)
        net.relu1 = self.act()
        net.maxpool = self._pool(stem.pool, outputs)
        return outputs

    def _pool(self, kind, channels):
        filtered = self.model.anti_alias is not None
        stride = 1 if filtered else 2
        if kind is None:
            return nn.Identity()
        if kind == "average":
            return nn.AvgPool2d(2)
        if kind == "max":
            return nn.Sequential(nn.MaxPool2d(3, stride, 1), self.anti_alias(2))
        layers = [conv(channels, channels, 3, stride)]
        layers += [self.anti_alias(2)] if filtered else []
        return nn.Sequential(*layers, self.norm(channels), self.act())
