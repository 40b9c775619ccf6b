"""ResNet-50 on ImageNet, the recipe of the first years with a cosine.

Random parts of photographs at 224 pixels (8 to 100 % of the area) and mirror images; SGD with
momentum, batch 1024, learning rate 0.4 (it follows --batch-size, unless --lr is given), warmed up
over 5 epochs and annealed along a cosine; weight decay 1e-4 on the kernels (--weight-decay 5e-5 is
common, too); label smoothing 0.1; 90 epochs; evaluation at 224 pixels in the middle of 256;
bfloat16 on an accelerator. The training accuracy is that of the steps as they went, which saves a
pass over 1.28 million images after each epoch.

With the images in imagenet/train/n01440764/*.JPEG and imagenet/val/n01440764/*.JPEG, or in
ArrayRecord, Parquet or tar files:

    python -m experiments.imagenet_resnet50 --data-dir imagenet

The data have no test images, and the validation images take their place: the report says so.
--progressive 128 160 trains the first two thirds of the epochs on smaller images, which takes less
time.

On the embedded digits with a narrow network, in minutes on a CPU:

    python -m experiments.imagenet_resnet50 --preset quick --base-planes 16

What was run: this recipe at tiny sizes, on small folders of generated JPEG files, in one process
and in two. Neither cost nor accuracy on ImageNet is measured: neither the images nor an accelerator
was available. Expect 76 to 77 % top-1: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, report
76.4 % with the same rule for the learning rate, in 90 epochs with steps in place of the cosine and
without label smoothing, and torchvision's first weights, trained likewise, have 76.1 % (76.13), see
https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.resnet50.html; cosine and
label smoothing add to it, see He et al. 2018, https://arxiv.org/abs/1812.01187, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .flat import override
from .options import FOLDER
from .recipe import Recipe, command

CONFIG = override(
    Recipe(),
    variant="resnet50",
    run_dir=Path("runs/imagenet_resnet50"),
    dataset=FOLDER,
    stream="always",
    epochs=90,
    batch_size=1024,
    lr=None,
    momentum=0.9,
    weight_decay=1e-4,
    label_smoothing=0.1,
    resize=256,
    crop=224,
    augment=("flip",),
    schedule="cosine",
    warmup_epochs=5.0,
    train_accuracy="running",
    dtype="auto",
)
"""The recipe's defaults."""

QUICK: Mapping[str, Any] = MappingProxyType({"lr": 0.1, "augment": ("crop:2",)})
"""What the preset quick replaces: a digit's mirror image is none."""

train, main = command(CONFIG, __doc__, quick=QUICK)

if __name__ == "__main__":
    raise SystemExit(main())
