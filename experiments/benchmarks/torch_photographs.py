"""A torch data set of JPEG files, with torchvision's training transforms in Pillow and torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

_SCALE, _RATIO, _TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


class PhotographDataset(torch.utils.data.Dataset):
    """JPEG files, each cut at random, resized, and mirrored half the time.

    Args:
        paths: the files.
        passes: how often each file counts.
        side: height and width of the results, in pixels.
    """

    def __init__(self, paths: Sequence[Path], passes: int, side: int) -> None:
        self._paths, self._passes, self._side = list(paths), passes, side

    def __len__(self) -> int:
        return len(self._paths) * self._passes

    def __getitem__(self, index: int) -> torch.Tensor:
        with self._paths[index % len(self._paths)].open("rb") as file:
            picture = Image.open(file).convert("RGB")
        side = (self._side, self._side)
        picture = picture.crop(_draw(*picture.size)).resize(side, Image.Resampling.BILINEAR)
        if torch.rand(1) < 0.5:
            picture = ImageOps.mirror(picture)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def _draw(width: int, height: int) -> tuple[int, int, int, int]:
    """Draw a part of an image as torchvision's RandomResizedCrop does."""
    for _ in range(_TRIES):
        area = width * height * torch.empty(1).uniform_(*_SCALE).item()
        ratio = math.exp(torch.empty(1).uniform_(*map(math.log, _RATIO)).item())
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if across <= width and down <= height:
            left = int(torch.randint(0, width - across + 1, (1,)))
            upper = int(torch.randint(0, height - down + 1, (1,)))
            return left, upper, left + across, upper + down
    return 0, 0, width, height
