"""ResNeXt-50 (32×4d) on CIFAR-10, a modern recipe.

The CIFAR stem at the images' own 32 pixels; random shifts by 4 pixels, mirror images and Cutout;
Nesterov SGD with weight decay on the kernels, the learning rate warmed up over 2 epochs and
annealed along a cosine; label smoothing; moving averages of the weights; predictions averaged over
each test image and its mirror image; bfloat16 on an accelerator.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnext50_32x4d_modern

On the embedded digits with a narrow network, in minutes on a CPU:

    python -m experiments.cifar_resnext50_32x4d_modern --preset quick --base-planes 16

Neither cost nor accuracy is measured: CIFAR-10 was not available.
"""

from __future__ import annotations

from pathlib import Path

from .cifar_resnet18_modern import CONFIG as RESNET18
from .cifar_resnet18_modern import QUICK
from .flat import override
from .recipe import command

CONFIG = override(
    RESNET18, variant="resnext50_32x4d", run_dir=Path("runs/cifar_resnext50_32x4d_modern")
)
"""The recipe's defaults: those of ResNet-18 but for the network."""

train, main = command(CONFIG, __doc__, quick=QUICK)

if __name__ == "__main__":
    raise SystemExit(main())
