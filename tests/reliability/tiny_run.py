"""A real run, but tiny: the recipe's own command with four narrow blocks on 8x8 digits.

The tests start it in a process of its own, to kill it. It writes the run folder of the recipe,
and in place of figures and report ``outcome.json`` with what must be equal to the bit.
"""

import hashlib
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn

import resnet_jax as rj
from experiments import recipe
from resnet_jax.run import fit as loop

CONFIG = recipe.Recipe(
    dataset="digits",
    resize=10,
    crop=8,
    stem="cifar",
    base_planes=4,
    batch_size=64,
    lr=0.05,
    epochs=3,
    checkpoint_every=3,
    log_every=1,
)
"""20 steps an epoch."""


class Linear(nn.Module):
    """One dense layer: a run with it is all loop and disk."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, images, train=False):
        del train
        return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


def create_linear(variant, num_classes, **options):
    del variant, options
    return Linear(num_classes)


def create_model(variant, num_classes, **options):
    del variant
    return rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), num_classes, **options)


def write_outcome(run_dir, *, result, **_):
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(result.state):
        digest.update(np.asarray(leaf).tobytes())
    outcome = {
        "state": digest.hexdigest(),
        "history": result.history,
        "learning_rates": result.learning_rates,
        "best": [result.best_epoch, result.best_step],
    }
    (run_dir / "outcome.json").write_text(json.dumps(outcome))


def measure_epochs(figures):
    """Appends a line after each epoch: memory, handles, threads, step time and folder."""
    epoch, train = loop._Run._end_epoch, loop._Run._train
    seconds = 0.0

    def timed_train(run, *args):
        nonlocal seconds
        start = time.perf_counter()
        result = train(run, *args)
        seconds = time.perf_counter() - start
        return result

    def measured_epoch(run, *args):
        result = epoch(run, *args)
        files = [path for path in run.store.folder.rglob("*") if path.is_file()]
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        row = {
            "resident_mb": pages * resource.getpagesize() / 2**20,
            "handles": len(list(Path("/proc/self/fd").iterdir())),
            "threads": threading.active_count(),
            "step_ms": 1000 * seconds / run.steps,
            "folder_kb": sum(path.stat().st_size for path in files if path.exists()) / 1024,
            "checkpoints": len(list(run.store.folder.iterdir())),
        }
        with figures.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return result

    loop._Run._train, loop._Run._end_epoch = timed_train, measured_epoch


def main(argv):
    if os.environ.get("TINY_RUN_FIGURES"):
        measure_epochs(Path(os.environ["TINY_RUN_FIGURES"]))
        recipe.create_model = create_linear
    else:
        recipe.create_model = create_model
    recipe.evaluate = write_outcome
    return recipe.main(CONFIG, argv, description="tiny")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
