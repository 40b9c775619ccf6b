"""ResNet-18 on CIFAR-10, a modern recipe.

The CIFAR stem at the images' own 32 pixels; random shifts by 4 pixels, mirror images and Cutout;
Nesterov SGD with weight decay on the kernels, the learning rate warmed up over 2 epochs and
annealed along a cosine; label smoothing; moving averages of the weights; predictions averaged over
each test image and its mirror image; bfloat16 on an accelerator.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnet18_modern

On the embedded digits with a narrow network, in minutes on a CPU:

    python -m experiments.cifar_resnet18_modern --preset quick --base-planes 16

The second command gave 99.7 % test accuracy after 1.8 minutes of training on two busy CPU cores.
The first is not measured: CIFAR-10 was not available.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .flat import override
from .recipe import Recipe, command

CONFIG = override(
    Recipe(),
    variant="resnet18",
    run_dir=Path("runs/cifar_resnet18_modern"),
    stem="cifar",
    epochs=100,
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    resize=32,
    crop=32,
    augment=("crop:4", "flip", "cutout:16"),
    schedule="cosine",
    warmup_epochs=2.0,
    ema_decay=0.999,
    flip_test=True,
    dtype="auto",
)
"""The recipe's defaults."""

QUICK: Mapping[str, Any] = MappingProxyType(
    {"lr": 0.1, "augment": ("crop:2",), "ema_decay": 0.99, "flip_test": False}
)
"""What the preset quick replaces: a digit's mirror image is none, and the run is short."""

train, main = command(CONFIG, __doc__, quick=QUICK)

if __name__ == "__main__":
    raise SystemExit(main())
