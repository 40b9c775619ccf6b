"""A real run, but tiny: the command of a recipe, with four narrow blocks on 8x8 digits.

The tests start it in a process of its own, to kill it. It writes the run folder of the recipe,
and in place of figures and report `outcome.json` with what must be equal to the bit.
"""

import contextlib
import dataclasses
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
from tiny_task import Small, tiny_model

from experiments.flat import override
from experiments.recipe import Recipe, parse
from experiments.run_options import RunOptions
from experiments.train import run_command
from resnet_jax.run import Sink, SinkGroup

CONFIG = override(
    Recipe(),
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


def create_narrow(num_classes):
    assert num_classes == 10
    return tiny_model(base_planes=4)


def write_outcome(folder, *, result, **_):
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(result.state):
        digest.update(np.asarray(leaf).tobytes())
    outcome = {
        "state": digest.hexdigest(),
        "history": result.history,
        "learning_rates": result.learning_rates,
        "best": [result.best_epoch, result.best_step],
    }
    (folder.path / "outcome.json").write_text(json.dumps(outcome))


def size_of(folder):
    """Return the bytes below a folder in which a save in the background makes and renames files."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += Path(place, name).stat().st_size
    return size


class Measure(Sink):
    """Appends a line to a file after each epoch: memory, handles, threads, time and folder."""

    def __init__(self, path, checkpoints):
        self.path, self.checkpoints = path, checkpoints
        self.times = []

    def log(self, event):
        self.times.append(time.perf_counter())
        if event["event"] != "epoch":
            return
        steps = self.times[:-1]
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        row = {
            "resident_mb": pages * resource.getpagesize() / 2**20,
            "handles": len(list(Path("/proc/self/fd").iterdir())),
            "threads": threading.active_count(),
            "step_ms": 1000 * (steps[-1] - steps[0]) / (len(steps) - 1),
            "folder_kb": size_of(self.checkpoints) / 1024,
            "checkpoints": sum(1 for _ in Path(self.checkpoints).glob("*")),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.times.clear()


@dataclasses.dataclass(frozen=True)
class MeasuredRun(RunOptions):
    """A run whose epochs are measured, beside the sinks that it has."""

    def build_sinks(self, folder):
        measure = Measure(Path(os.environ["TINY_RUN_FIGURES"]), folder.checkpoints.folder)
        return SinkGroup([*super().build_sinks(folder).sinks, measure])


def main(argv):
    measured = bool(os.environ.get("TINY_RUN_FIGURES"))

    def read():
        job = parse(CONFIG, argv, description="tiny")
        return dataclasses.replace(job, run=MeasuredRun(**vars(job.run))) if measured else job

    create_model = Small if measured else create_narrow
    return run_command(read, create_model=create_model, evaluate=write_outcome)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
