"""The same networks in torch, with which the tests compare the JAX ones.

Names, order and layouts are torchvision's; the CIFAR stem and `base_planes` are this library's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from resnet_jax import BasicBlock, ResNet

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

# More threads spin against each other, and against XLA's, wherever cores are shared.
torch.set_num_threads(1)


def conv(inputs, outputs, size, stride=1, dilation=1, groups=1):
    padding = dilation * (size - 1) // 2
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)


def shortcut(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class TorchBasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, planes, stride, groups, base_width, dilation):
        super().__init__()
        assert (groups, base_width, dilation) == (1, 64, 1)
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = shortcut(inputs, planes, stride)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + identity)


class TorchBottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride, groups, base_width, dilation):
        super().__init__()
        width = int(planes * base_width / 64) * groups
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride, dilation, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, planes * 4, 1)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = shortcut(inputs, planes * 4, stride)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        return self.relu3(self.bn3(self.conv3(y)) + identity)


class TorchResNet(nn.Module):
    def __init__(
        self,
        block,
        layers,
        num_classes=1000,
        *,
        zero_init_residual=False,
        groups=1,
        width_per_group=64,
        replace_stride_with_dilation=(False, False, False),
        stem="imagenet",
        base_planes=64,
        channels=3,
    ):
        super().__init__()
        if stem == "imagenet":
            self.conv1 = conv(channels, base_planes, 7, 2)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        else:
            self.conv1 = conv(channels, base_planes, 3)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(base_planes)
        self.relu1 = nn.ReLU()
        inputs, dilation = base_planes, 1
        for stage, count in enumerate(layers):
            planes, stride, previous = base_planes * 2**stage, 1 if stage == 0 else 2, dilation
            if stage > 0 and replace_stride_with_dilation[stage - 1]:
                stride, dilation = 1, dilation * stride
            blocks = [block(inputs, planes, stride, groups, width_per_group, previous)]
            inputs = planes * block.expansion
            for _ in range(count - 1):
                blocks.append(block(inputs, planes, 1, groups, width_per_group, dilation))
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init_residual and isinstance(module, TorchBasicBlock | TorchBottleneck):
                nn.init.zeros_(module.last_norm.weight)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        x = self.maxpool(self.relu1(self.bn1(self.conv1(x))))
        maps = {"stem": x}
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
            maps[name] = x
        maps["pooled"] = x.mean((2, 3))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x)["pooled"])


def twin_of(model: ResNet, *, channels: int = 3, seed: int = 0) -> TorchResNet:
    """Return the torch network of a model's options, freshly initialised."""
    torch.manual_seed(seed)
    return TorchResNet(
        TorchBasicBlock if model.block is BasicBlock else TorchBottleneck,
        model.layers,
        model.num_classes,
        zero_init_residual=model.zero_init_residual,
        groups=model.groups,
        width_per_group=model.width_per_group,
        replace_stride_with_dilation=model.replace_stride_with_dilation or (False,) * 3,
        stem=model.stem,
        base_planes=model.base_planes,
        channels=channels,
    )


def lively(net: TorchResNet, *, size: int = 64, seed: int = 1) -> TorchResNet:
    """Give a network statistics, scales and biases as training leaves them, none of them 0 or 1.

    The running statistics are those of a random batch. The residual branches are smaller than the
    identity, as in trained networks: where they are as large, rounding errors double every few
    blocks, and torch's own float32 logits of resnet152 are 5e-4 from its float64 ones.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator))
            norm.bias.copy_(0.2 * torch.randn(norm.bias.shape, generator=generator))
            norm.momentum = 1.0
        for module in net.modules():
            if isinstance(module, TorchBasicBlock | TorchBottleneck):
                module.last_norm.weight.mul_(0.3)
        channels = net.conv1.in_channels
        net.train()(torch.randn((8, channels, size, size), generator=generator))
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

    def shift_bias(norm):
        def hook(module, args):
            values = args[0].double().transpose(0, 1).flatten(1).sort().values
            near = values.masked_fill(values.abs() > 0.5, torch.nan)
            gaps, left = near.diff().nan_to_num(nan=-1.0).max(1)
            middle = values.gather(1, left[:, None])[:, 0] + gaps / 2
            shift = torch.where(gaps > 0, -middle, 0.0).to(norm.bias.dtype)
            norm.bias += shift
            return (args[0] + shift[:, None, None],)

        return hook

    hooks = []
    for module in net.modules():
        if isinstance(module, TorchBasicBlock | TorchBottleneck | TorchResNet):
            relus = [child for child in module.children() if isinstance(child, nn.ReLU)]
            norms = [child for child in module.children() if isinstance(child, nn.BatchNorm2d)]
            for relu, norm in zip(relus, norms, strict=True):
                hooks.append(relu.register_forward_pre_hook(shift_bias(norm)))
    statistics = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with torch.no_grad():
        net.train()(x)
    for hook in hooks:
        hook.remove()
    net.load_state_dict(statistics, strict=False)
    return net


def images(*shape: int, seed: int = 2) -> np.ndarray:
    """Return random normalised images `[batch, height, width, channels]`, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def to_nchw(x) -> Tensor:
    return torch.from_numpy(np.array(np.asarray(x).transpose(0, 3, 1, 2)))


def to_nhwc(x: Tensor) -> np.ndarray:
    array = x.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
