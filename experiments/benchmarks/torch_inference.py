"""Networks in evaluation mode in eager torch: a forward pass, and the classes of image files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from .torch_side import TorchTrainer


def forward_jobs(
    *, variant: str, layout: str, batch: int, size: int
) -> dict[str, Callable[[], Any]]:
    """Build a forward pass on random images, without gradients."""
    trainer = TorchTrainer(variant, layout)
    images = trainer.images(torch.randn(batch, 3, size, size))
    return {"forward": lambda: trainer.logits(images)}


class Photographs(torch.utils.data.Dataset):
    """Image files as torchvision's presets for ImageNet prepare them.

    Args:
        paths: the files.
        resize: shortest edge after resizing, in pixels.
        crop: side of the crop, in pixels.
        mean: the mean of each channel.
        std: the standard deviation of each channel.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        resize: int,
        crop: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        from torchvision import transforms  # The forward pass does without it.

        self._paths = list(paths)
        self._transform = transforms.Compose(
            [
                transforms.Resize(resize),
                transforms.CenterCrop(crop),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with self._paths[index].open("rb") as file:
            image: torch.Tensor = self._transform(Image.open(file).convert("RGB"))
        return image


def predict_jobs(
    *, variant: str, paths: Sequence[Path], batch: int, workers: int, **transform: Any
) -> dict[str, Callable[[], Any]]:
    """Build the classification of image files, with processes that decode or without."""
    # Processes that end with another one may not have any of their own.
    multiprocessing.current_process().daemon = False
    trainer = TorchTrainer(variant, "channels_last", classes=1000)
    photographs = Photographs(paths, **transform)

    def predict() -> list[list[int]]:
        loader = torch.utils.data.DataLoader(photographs, batch, num_workers=workers)
        best: list[list[int]] = []
        for images in loader:
            probabilities = trainer.logits(trainer.images(images)).softmax(1)
            best += probabilities.topk(5).indices.tolist()
        return best

    return {"predict": predict}
