"""A real run on image files, in one process of several: the command of a recipe, with one layer.

The tests start it in processes of their own, to kill them. It writes the run folder of the recipe,
and in place of figures and report `outcome.json` with what must be equal, and the memory it took.
"""

import json
import resource
import sys

import jax
import numpy as np
from tiny_task import Small

from experiments import imagenet_resnet50
from experiments.flat import override
from experiments.recipe import parse
from experiments.train import run_command

CONFIG = override(
    imagenet_resnet50.CONFIG,
    resize=24,
    crop=16,
    batch_size=256,
    epochs=3,
    warmup_epochs=1.0,
    progressive=(12,),
    checkpoint_every=2,
    log_every=1,
    track=(),
)


class Pooled(Small):
    """The small network over images that are first brought to one size."""

    def __call__(self, images, train=False):
        shape = (images.shape[0], 4, 4, images.shape[3])
        return super().__call__(jax.image.resize(images, shape, "linear"), train)


def write_outcome(folder, *, result, **_):
    leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(result.state)]
    outcome = {
        "leaves": np.concatenate(leaves).astype(float).tolist(),
        "history": result.history,
        "learning_rates": result.learning_rates,
        "image_sizes": result.image_sizes,
        "best": [result.best_epoch, result.best_step],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (folder.path / "outcome.json").write_text(json.dumps(outcome))


def main(argv):
    return run_command(
        lambda: parse(CONFIG, argv, description="photographs"),
        create_model=Pooled,
        evaluate=write_outcome,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
