"""The same networks in torch, with which the tests compare the JAX ones.

Names, order and layouts are torchvision's; the CIFAR stem and `base_planes` are this library's.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch_parts import Excite, Parts, conv

from resnet_jax import BasicBlock, Bottleneck, ResNet
from resnet_jax.models import PreactivationBasicBlock, PreactivationBottleneck

# The variants that torchvision has.
TORCHVISION = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)

NORMS = (nn.BatchNorm2d, nn.GroupNorm)

# More threads spin against each other, and against XLA's, wherever cores are shared.
torch.set_num_threads(1)


class TorchBasicBlock(nn.Module):
    expansion = 1

    def __init__(self, parts, inputs, planes, stride, dilation, out_dilation):
        super().__init__()
        model = parts.model
        assert (model.groups, model.width_per_group, out_dilation) == (1, 64, 1)
        filtered = model.anti_alias is not None and stride > 1
        first = planes // model.reduce_first
        self.conv1 = conv(inputs, first, 3, 1 if filtered else stride)
        self.bn1 = parts.norm(first)
        self.aa = parts.anti_alias(stride) if filtered else nn.Identity()
        self.conv2 = conv(first, planes, 3)
        self.bn2 = parts.norm(planes)
        self.se = parts.attention(planes)
        self.downsample = parts.shortcut(inputs, planes, stride, 1, 1)
        self.relu1, self.relu2 = parts.act(), parts.act()

    @property
    def last_norm(self) -> nn.Module:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.aa(self.relu1(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        y = y if self.se is None else self.se(y)
        return self.relu2(y + identity)


class TorchBottleneck(nn.Module):
    expansion = 4

    def __init__(self, parts, inputs, planes, stride, dilation, out_dilation):
        super().__init__()
        model = parts.model
        width = int(planes * model.width_per_group / 64) * model.groups
        first, outputs = width // model.reduce_first, planes * 4
        filtered = model.anti_alias is not None and (stride > 1 or dilation != out_dilation)
        self.conv1 = conv(inputs, first, 1)
        self.bn1 = parts.norm(first)
        self.conv2 = conv(first, width, 3, 1 if filtered else stride, dilation, model.groups)
        self.bn2 = parts.norm(width)
        self.aa = parts.anti_alias(stride) if filtered else nn.Identity()
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = parts.norm(outputs)
        self.se = parts.attention(outputs)
        self.downsample = parts.shortcut(inputs, outputs, stride, dilation, out_dilation)
        self.relu1, self.relu2, self.relu3 = parts.act(), parts.act(), parts.act()

    @property
    def last_norm(self) -> nn.Module:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.aa(self.relu2(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        y = y if self.se is None else self.se(y)
        return self.relu3(y + identity)


class TorchPreactivationBasicBlock(nn.Module):
    expansion = 1

    def __init__(self, parts, inputs, planes, stride, dilation, out_dilation):
        super().__init__()
        assert (parts.model.groups, parts.model.width_per_group, out_dilation) == (1, 64, 1)
        self.bn1 = parts.norm(inputs)
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn2 = parts.norm(planes)
        self.conv2 = conv(planes, planes, 3)
        self.downsample = _preactivated_shortcut(parts, inputs, planes, stride)
        self.relu1, self.relu2 = parts.act(), parts.act()

    @property
    def last_norm(self) -> nn.Module:
        return self.bn2

    @property
    def zeroed(self) -> nn.Module:
        return self.conv2

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        y = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        return y + (x if self.downsample is None else self.downsample(activated))


class TorchPreactivationBottleneck(nn.Module):
    expansion = 4

    def __init__(self, parts, inputs, planes, stride, dilation, out_dilation):
        super().__init__()
        model = parts.model
        width = int(planes * model.width_per_group / 64) * model.groups
        self.bn1 = parts.norm(inputs)
        self.conv1 = conv(inputs, width, 1)
        self.bn2 = parts.norm(width)
        self.conv2 = conv(width, width, 3, stride, dilation, model.groups)
        self.bn3 = parts.norm(width)
        self.conv3 = conv(width, planes * 4, 1)
        self.downsample = _preactivated_shortcut(parts, inputs, planes * 4, stride)
        self.relu1, self.relu2, self.relu3 = parts.act(), parts.act(), parts.act()

    @property
    def last_norm(self) -> nn.Module:
        return self.bn3

    @property
    def zeroed(self) -> nn.Module:
        return self.conv3

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        y = self.relu2(self.bn2(self.conv1(activated)))
        y = self.conv3(self.relu3(self.bn3(self.conv2(y))))
        return y + (x if self.downsample is None else self.downsample(activated))


def _preactivated_shortcut(parts, inputs, outputs, stride):
    """Make the shortcut of a pre-activated block; it has no normalisation unless asked for."""
    if parts.model.shortcut is not None:
        return parts.shortcut(inputs, outputs, stride, 1, 1)
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride))


BLOCKS = {
    BasicBlock: TorchBasicBlock,
    Bottleneck: TorchBottleneck,
    PreactivationBasicBlock: TorchPreactivationBasicBlock,
    PreactivationBottleneck: TorchPreactivationBottleneck,
}
TORCH_BLOCKS = tuple(BLOCKS.values())


class TorchResNet(nn.Module):
    def __init__(self, model: ResNet, channels: int = 3):
        super().__init__()
        parts = Parts(model)
        stages = len(model.layers)
        chosen = model.block if isinstance(model.block, tuple) else (model.block,) * stages
        blocks = [BLOCKS[block] for block in chosen]
        planes = model.base_planes
        doubled = isinstance(planes, int)
        widths = [planes * 2**stage for stage in range(stages)] if doubled else planes
        self.stages = [f"layer{stage + 1}" for stage in range(stages)]
        self.channels = channels
        inputs = parts.add_stem(self, channels, widths[0])
        dilation = 1
        for stage, count in enumerate(model.layers):
            block, stride, previous = blocks[stage], 1 if stage == 0 else 2, dilation
            if stage > 0 and (model.replace_stride_with_dilation or (False,) * 3)[stage - 1]:
                stride, dilation = 1, dilation * stride
            made = [block(parts, inputs, widths[stage], stride, previous, dilation)]
            inputs = widths[stage] * block.expansion
            for _ in range(count - 1):
                made.append(block(parts, inputs, widths[stage], 1, dilation, dilation))
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        self.final_bn = parts.norm(inputs) if model.final_norm else None
        self.relu = parts.act()
        self.fc = nn.Linear(inputs, model.num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if model.zero_init_residual and isinstance(module, TORCH_BLOCKS):
                nn.init.zeros_(getattr(module, "zeroed", module.last_norm).weight)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        x = self.conv1(x)
        if self.bn1 is not None:
            x = self.maxpool(self.relu1(self.bn1(x)))
        maps = {"stem": x}
        for name in self.stages:
            x = getattr(self, name)(x)
            maps[name] = x
        if self.final_bn is not None:
            x = self.relu(self.final_bn(x))
        maps["pooled"] = x.mean((2, 3))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x)["pooled"])


def twin_of(model: ResNet, *, channels: int = 3, seed: int = 0) -> TorchResNet:
    """Return the torch network of a model's options, freshly initialised."""
    torch.manual_seed(seed)
    return TorchResNet(model, channels)


def lively(net: TorchResNet, *, size: int = 64, seed: int = 1) -> TorchResNet:
    """Give a network statistics, scales and biases as training leaves them, none of them 0 or 1.

    The running statistics are those of a random batch. The residual branches are smaller than the
    identity, as in trained networks: where they are as large, rounding errors double every few
    blocks, and torch's own float32 logits of resnet152 are 5e-4 from its float64 ones.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in net.modules() if isinstance(module, NORMS)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator))
            norm.bias.copy_(0.2 * torch.randn(norm.bias.shape, generator=generator))
            norm.momentum = 1.0
        for module in net.modules():
            if isinstance(module, TORCH_BLOCKS):
                module.last_norm.weight.mul_(0.3)
        net.train()(torch.randn((8, net.channels, size, size), generator=generator))
        for norm in norms:
            norm.momentum = 0.1
    return net


def clear_of_kinks(net: TorchResNet, x: Tensor) -> TorchResNet:
    """Shift the norms' biases so that no input of a ReLU is near 0 for the batch `x`.

    A gradient jumps where a ReLU's input changes its sign. Of a few million inputs some are
    within float32 rounding of 0, and then torch's own float32 gradients of resnet50 are 3e-2
    from its float64 ones. Here each channel's values are shifted until 0 lies in the middle of
    the widest of the gaps between them near 0.
    """

    def shift_bias(layer):
        def hook(module, args):
            values = args[0].double().transpose(0, 1).flatten(1).sort().values
            near = values.masked_fill(values.abs() > 0.5, torch.nan)
            gaps, left = near.diff().nan_to_num(nan=-1.0).max(1)
            middle = values.gather(1, left[:, None])[:, 0] + gaps / 2
            shift = torch.where(gaps > 0, -middle, 0.0).to(layer.bias.dtype)
            layer.bias += shift
            return (args[0] + shift[:, None, None],)

        return hook

    hooks = [
        relu.register_forward_pre_hook(shift_bias(layer))
        for relu, layer in _kinks(net)
        if isinstance(relu, nn.ReLU)
    ]
    statistics = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with torch.no_grad():
        net.train()(x)
    for hook in hooks:
        hook.remove()
    net.load_state_dict(statistics, strict=False)
    return net


def _kinks(net: TorchResNet) -> list[tuple[nn.Module, nn.Module]]:
    """Return every activation with the layer whose bias shifts its input."""
    pairs: list[tuple[nn.Module, nn.Module]] = []
    for module in net.modules():
        if isinstance(module, (*TORCH_BLOCKS, TorchResNet)):
            acts, norms = (
                [layer for i in (1, 2, 3) if (layer := getattr(module, f"{name}{i}", None))]
                for name in ("relu", "bn")
            )
            if getattr(module, "se", None) is not None:
                # The gate would scale the shift; that of the shortcut reaches the sum as it is.
                assert module.downsample is not None
                norms[-1] = module.downsample[-1]
            pairs += zip(acts, norms, strict=True)
        if isinstance(module, TorchResNet) and module.final_bn is not None:
            pairs.append((module.relu, module.final_bn))
        if isinstance(module, Excite):
            pairs.append((module.relu, module.fc1))
        if isinstance(module, nn.Sequential):
            pairs += [
                (after, before) for before, after in pairwise(module) if isinstance(before, NORMS)
            ]
    return pairs


def images(*shape: int, seed: int = 2) -> np.ndarray:
    """Return random normalised images `[batch, height, width, channels]`, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def to_nchw(x) -> Tensor:
    return torch.from_numpy(np.array(np.asarray(x).transpose(0, 3, 1, 2)))


def to_nhwc(x: Tensor) -> np.ndarray:
    array = x.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
