"""ResNet-34 on CIFAR-10, the reference's recipe.

SGD with momentum 0.9, learning rate 0.1 reduced on a plateau, batch 256, 50 epochs, images
resized to 120 and cropped to 110 pixels.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnet34

On the embedded digits, in minutes on a CPU:

    python -m experiments.cifar_resnet34 --preset quick

The published run of this recipe reports 84.66 % test accuracy after 50 epochs in 62 minutes on one
GPU. It was not repeated, because neither CIFAR-10 nor a GPU was available. Two epochs on full-size
Fashion-MNIST at 32 pixels, without a crop, gave 79.9 % and 84.9 % (two seeds) in 36 and 23 minutes
on two busy CPU cores; the quick preset gave 96.1 % after 93 s of training on two others.
"""

from __future__ import annotations

from pathlib import Path

from .flat import override
from .recipe import Recipe, command

CONFIG = override(Recipe(), variant="resnet34", run_dir=Path("runs/cifar_resnet34"))
"""The recipe's defaults."""

train, main = command(CONFIG, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
