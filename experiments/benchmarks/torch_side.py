"""The same networks in torch, as one would write them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from resnet_jax.models import VARIANTS, BasicBlock

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


class TorchBlock(nn.Module):
    """A residual block, basic or bottleneck."""

    def __init__(
        self, inputs: int, planes: int, stride: int, bottleneck: bool, groups: int, base_width: int
    ) -> None:
        super().__init__()
        outputs = planes * 4 if bottleneck else planes
        if bottleneck:
            width = planes * base_width // 64 * groups
            convolutions = [
                _conv(inputs, width, 1),
                _conv(width, width, 3, stride, groups),
                _conv(width, outputs, 1),
            ]
        else:
            convolutions = [_conv(inputs, planes, 3, stride), _conv(planes, planes, 3)]
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in convolutions)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                _conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, in, height, width]` to `[batch, out, out_h, out_w]`."""
        y = x
        last = len(self.norms) - 1
        for index, (conv, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(conv(y))
            if index < last:
                y = self.relu(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def torch_resnet(variant: str, num_classes: int = 10, channels: int = 3) -> nn.Module:
    """Build the network of a variant."""
    row = VARIANTS[variant]
    layers: list[nn.Module] = [
        _conv(channels, 64, 7, 2),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs, bottleneck = 64, row.block is not BasicBlock
    for stage, count in enumerate(row.layers):
        planes = 64 * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            layers.append(
                TorchBlock(inputs, planes, stride, bottleneck, row.groups, row.width_per_group)
            )
            inputs = planes * (4 if bottleneck else 1)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, num_classes)]
    return nn.Sequential(*layers)


def use_all_cores() -> None:
    """Use one thread for each core."""
    torch.set_num_threads(os.cpu_count() or 1)


class TorchTrainer:
    """A network and SGD with momentum, in one memory layout.

    Args:
        variant: A name in `VARIANTS`.
        layout: A name in `LAYOUTS`.
        channels: Channels of the images.
        classes: The number of classes.
        device: Where it computes.
        dtype: `"float32"`, or `"bfloat16"` for that of autocast; parameters are in float32.
        compiled: Whether `torch.compile` compiles the network.

    Attributes:
        network: The network, in the layout.
    """

    def __init__(
        self,
        variant: str,
        layout: str,
        channels: int = 3,
        *,
        classes: int = 10,
        device: str = "cpu",
        dtype: str = "float32",
        compiled: bool = False,
    ) -> None:
        use_all_cores()
        torch.manual_seed(0)
        self._layout = LAYOUTS[layout]
        self._device = torch.device(device)
        self._cast = dtype != "float32"
        network: Any = torch_resnet(variant, classes, channels)
        network = network.to(device=self._device, memory_format=self._layout)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        self.network: Any = torch.compile(network) if compiled else network

    def images(self, nchw: Tensor) -> Tensor:
        """Return images on the device, in the layout."""
        return nchw.to(self._device).contiguous(memory_format=self._layout)

    def _autocast(self) -> Any:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._cast)

    def train(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step and return its loss, which may still be on its way."""
        self.network.train()
        self._optimizer.zero_grad()
        with self._autocast():
            loss = nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits in evaluation mode, without gradients."""
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            logits: Tensor = self.network(images)
        return logits


def pillow_batch(
    images: np.ndarray,
    *,
    resize: int,
    crop: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    rng: np.random.Generator,
) -> Tensor:
    """Resize with Pillow, crop at random and normalise, image by image, as a torch data set does.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        resize: Side after resizing, in pixels.
        crop: Side after cropping, in pixels.
        mean: The mean of each channel.
        std: The standard deviation of each channel.
        rng: Draws the positions of the crops.

    Returns:
        float32 `[batch, channels, crop, crop]`.
    """
    means, stds = (torch.tensor(values).reshape(-1, 1, 1) for values in (mean, std))
    batch = []
    for image in images:
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        resized = Image.fromarray(pixels).resize((resize, resize), Image.Resampling.BILINEAR)
        top, left = rng.integers(0, resize - crop + 1, 2)
        cropped = np.array(resized.crop((left, top, left + crop, top + crop)))
        tensor = torch.from_numpy(cropped.reshape(crop, crop, -1)).permute(2, 0, 1)
        batch.append(tensor.float().div_(255).sub_(means).div_(stds))
    return torch.stack(batch)
