"""ResNet-50 on ImageNet, a modern recipe: that of torchvision's weights `IMAGENET1K_V2`.

Random parts of photographs at 176 pixels, mirror images, TrivialAugment, mixup (0.2) or CutMix
(1.0), random erasing (0.1); SGD with momentum, batch 1024, learning rate 0.5, warmed up over 5
epochs and annealed along a cosine; weight decay 2e-5 on the kernels; label smoothing 0.1; moving
averages of the weights; 600 epochs, each of a quarter of the images, every one of which comes four
times in a batch, differently augmented; evaluation at 224 pixels in the middle of 232; bfloat16 on
an accelerator. The training accuracy is left out: labels are mixed, and a pass over 1.28 million
images after each of 600 epochs is saved.

With the images in imagenet/train/n01440764/*.JPEG and imagenet/val/n01440764/*.JPEG, or in
ArrayRecord, Parquet or tar files:

    python -m experiments.imagenet_resnet50_modern --data-dir imagenet

The data have no test images, and the validation images take their place: the report says so.

On the embedded digits with a narrow network, in minutes on a CPU:

    python -m experiments.imagenet_resnet50_modern --preset quick --base-planes 16

What was run: this recipe at tiny sizes, on small folders of generated JPEG files. Neither cost nor
accuracy on ImageNet is measured: the images were not available. torchvision reports 80.9 % top-1
(80.858), see
https://pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives/
and https://github.com/pytorch/vision/issues/3995. What differs from theirs:

- Their averages move every 32 steps by (1 - 0.99998) · 1024 · 32 / 600 = 0.00109 of the difference,
  and start anew in every step of the warm-up that moves them. Here they move in every step by
  0.0000341, which is the same over 32 steps, and at first by more, so that they forget the start.
- Mixup or CutMix is drawn for each example, not for each batch; the bias of the head has no weight
  decay; the warm-up rises in every step, not in every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .flat import override
from .imagenet_resnet50 import CONFIG as BASE
from .recipe import command

CONFIG = override(
    BASE,
    run_dir=Path("runs/imagenet_resnet50_modern"),
    epochs=600,
    lr=0.5,
    weight_decay=2e-5,
    resize=232,
    crop=176,
    eval_crop=224,
    augment=("flip", "trivialaugment", "erase:0.1", "mixup:0.2/cutmix:1"),
    ema_decay=0.9999659,
    repeats=4,
    train_accuracy="none",
)
"""The recipe's defaults: those of the other recipe but for these."""

QUICK: Mapping[str, Any] = MappingProxyType(
    {
        "lr": 0.1,
        "augment": ("trivialaugment", "erase:0.1", "mixup:0.2/cutmix:1"),
        "ema_decay": 0.99,
        "repeats": 1,
    }
)
"""What the preset quick replaces: a digit's mirror image is none, and the run is short."""

train, main = command(CONFIG, __doc__, quick=QUICK)

if __name__ == "__main__":
    raise SystemExit(main())
