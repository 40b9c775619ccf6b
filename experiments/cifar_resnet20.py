"""ResNet-20 on CIFAR-10, the recipe of He et al. 2015 (section 4.2).

SGD with momentum 0.9, batch 128, learning rate 0.1 divided by 10 at a half and at three quarters
of the training, weight decay 0.0001 (here of the kernels alone), random shifts by 4 pixels and
mirror images.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnet20

On the embedded digits, in minutes on a CPU:

    python -m experiments.cifar_resnet20 --preset quick

The paper reports 91.25 % test accuracy after 64,000 steps, of which the epochs here are as many.
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
    variant="resnet20",
    run_dir=Path("runs/cifar_resnet20"),
    epochs=182,
    batch_size=128,
    lr=0.1,
    weight_decay=1e-4,
    resize=32,
    crop=32,
    augment=("crop:4", "flip"),
    schedule="multistep",
)
"""The recipe's defaults."""

QUICK: Mapping[str, Any] = MappingProxyType({"lr": 0.1, "augment": ("crop:2",)})
"""What the preset quick replaces: a digit's mirror image is none."""

train, main = command(CONFIG, __doc__, quick=QUICK)

if __name__ == "__main__":
    raise SystemExit(main())
