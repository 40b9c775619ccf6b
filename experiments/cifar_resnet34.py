"""ResNet-34 on CIFAR-10, the reference's recipe.

SGD with momentum 0.9, learning rate 0.1 reduced on a plateau, batch 256, 50 epochs, images
resized to 120 and cropped to 110 pixels.

On CIFAR-10, for which an accelerator is advised:

    python -m experiments.cifar_resnet34

On the embedded digits, in minutes on a CPU:

    python -m experiments.cifar_resnet34 --preset quick
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .recipe import Recipe, Result, run
from .recipe import main as run_command

CONFIG = Recipe(variant="resnet34", run_dir=Path("runs/cifar_resnet34"))
"""The recipe's defaults."""


def train(config: Recipe = CONFIG) -> Result:
    """Trains and evaluates; see ``experiments.recipe.run``."""
    return run(config)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(CONFIG, argv, description=__doc__)


if __name__ == "__main__":
    raise SystemExit(main())
