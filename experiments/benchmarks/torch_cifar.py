"""He et al.'s ResNets for CIFAR and their batches, in plain torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_jax.data import Arrays, Dataset


class Block(nn.Module):
    """Two 3×3 convolutions beside the identity, which is subsampled and padded with zeros."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.padding = stride, (planes - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, in, height, width]` to `[batch, out, out_h, out_w]`."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            kept = x[:, :, :: self.stride, :: self.stride]
            x = functional.pad(kept, (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(y + x)


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 planes behind a 3×3 convolution."""

    def __init__(self, blocks: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        layers: list[nn.Module] = []
        inputs = 16
        for stage, planes in enumerate((16, 32, 64)):
            for index in range(blocks):
                layers.append(Block(inputs, planes, 2 if stage and not index else 1))
                inputs = planes
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, 3, height, width]` to logits `[batch, num_classes]`."""
        x = self.layers(functional.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Batches:
    """Batches of images, normalised; in training in a new order, shifted and mirrored.

    Chance is drawn on the CPU, so that it is the same on every device.

    Args:
        arrays: uint8 `[images, height, width, 3]` and their labels.
        dataset: its mean and deviation.
        size: images of a batch.
        device: where the images are, and where a batch is made.
    """

    def __init__(
        self, arrays: Arrays, dataset: Dataset, size: int, device: torch.device | str = "cpu"
    ) -> None:
        images = torch.from_numpy(np.array(arrays.images)).permute(0, 3, 1, 2)
        self._images = images.to(device)
        self._labels = torch.from_numpy(np.asarray(arrays.labels, np.int64)).to(device)
        self._mean, self._std = (
            255 * torch.tensor(values, dtype=torch.float32, device=device).reshape(1, -1, 1, 1)
            for values in (dataset.mean, dataset.std)
        )
        self._size = size

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def steps(self) -> int:
        """Full batches of an epoch."""
        return len(self) // self._size

    def train(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the full batches of an epoch."""
        order = torch.randperm(len(self)).to(self._labels.device)
        for step in range(self.steps):
            chosen = order[step * self._size : (step + 1) * self._size]
            images = shift_and_mirror(self._images[chosen])
            yield self._normalise(images), self._labels[chosen]

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in order."""
        for start in range(0, len(self), self._size):
            batch = slice(start, start + self._size)
            yield self._normalise(self._images[batch]), self._labels[batch]

    def _normalise(self, images: Tensor) -> Tensor:
        return (images.float() - self._mean) / self._std


def shift_and_mirror(images: Tensor, padding: int = 4) -> Tensor:
    """Cut each image out of its black-padded copy at random, and mirror every other one.

    Args:
        images: `[batch, channels, height, width]`.
        padding: pixels of black on each side.

    Returns:
        Images of the same shape.
    """
    count, channels, height, width = images.shape
    tops, lefts = torch.randint(2 * padding + 1, (2, count, 1))
    rows, columns = tops + torch.arange(height), lefts + torch.arange(width)
    mirrored = torch.randint(2, (count, 1)) == 1
    columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    padded = functional.pad(images, (padding,) * 4)
    return padded[
        torch.arange(count, device=images.device)[:, None, None, None],
        torch.arange(channels, device=images.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
