"""ResNet-50 on CIFAR-10, the reference's recipe.

SGD with momentum 0.9, learning rate 0.1 reduced on a plateau, batch 256, 50 epochs, images
resized to 120 and cropped to 110 pixels.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnet50

On the embedded digits, in minutes on a CPU:

    python -m experiments.cifar_resnet50 --preset quick

Neither cost nor accuracy is measured.
"""

from __future__ import annotations

from pathlib import Path

from .flat import override
from .recipe import Recipe, command

CONFIG = override(Recipe(), variant="resnet50", run_dir=Path("runs/cifar_resnet50"))
"""The recipe's defaults."""

train, main = command(CONFIG, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
