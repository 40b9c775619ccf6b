"""Measure how far every variant is from its torch twin, and print a table in Markdown.

    python tests/parity/report.py [variant ...]

Runs uncompiled, operation by operation, for the deep variants compile to the same operations as
the shallow ones; about ten minutes on two cores.
"""

from __future__ import annotations

import copy
import sys

import jax
import torch
from differences import (
    eval_difference,
    max_difference,
    small_learning_rate,
    train_differences,
)
from torch_twin import TORCHVISION, TorchResNet, images, lively, to_nchw, twin_of

import resnet_jax as rj

COLUMNS = (
    "variant",
    "logits, eval, 64×64",
    "logits, eval, 97×65",
    "torch's own, 97×65",
    "logits, train",
    "gradients",
    "statistics, 1 step",
    "statistics, 10 steps",
)


def torch_rounding(net: TorchResNet, size: tuple[int, int]) -> float:
    """Return the `max_difference` of torch's float32 logits from its float64 ones."""
    x = to_nchw(images(2, *size, 3))
    with torch.no_grad():
        return max_difference(net.eval()(x), copy.deepcopy(net).double()(x.double()))


def measure(variant: str) -> list[float]:
    """Return the columns of one variant, after its name."""
    model = rj.create_model(variant)
    net = lively(twin_of(model))
    evaluation = [eval_difference(model, net, size, jit=False) for size in ((64, 64), (97, 65))]
    rounding = torch_rounding(net, (97, 65))
    rate = small_learning_rate(model)
    trained = train_differences(model, net, steps=10, learning_rate=rate, jit=False)
    return [
        *evaluation,
        rounding,
        trained.logits,
        *(max(differences.values()) for differences in trained[1:]),
    ]


def main() -> None:
    jax.config.update("jax_platforms", "cpu")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    for variant in sys.argv[1:] or TORCHVISION:
        cells = [f"{value:.1e}" for value in measure(variant)]
        print("| " + " | ".join([f"`{variant}`", *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
