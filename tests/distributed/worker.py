"""One of several processes: joins the others and does the tiny job. Its argument is JSON."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from photo_task import fit_photos
from tiny import Job, fit_tiny, host, tiny_model

from resnet_jax.run import CheckpointStore, RunFolder, processes
from resnet_jax.training import Engine


@dataclass
class Orders:
    """What to do.

    Attributes:
        coordinator, num_processes, process_id: of `processes.initialize`.
        cache: folder of compiled programs.
        folder: gets `checkpoints/` and from process 0 `<name>.npz`.
        job: "steps", "fit" with epochs for steps, or "photos", which goes on with a run on images
            in `folder / "photos"`.
        name: of the result.
        parallel: of the engine.
        start: the step to resume from; 0 starts anew.
        save: the step after which a checkpoint is saved.
        steps: the step to stop after.
    """

    coordinator: str
    num_processes: int
    process_id: int
    cache: str
    folder: str
    job: str
    name: str
    parallel: str
    start: int
    save: int
    steps: int


def main(orders):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", orders.cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    processes.initialize(orders.coordinator, orders.num_processes, orders.process_id, timeout=120)
    assert jax.process_count() == orders.num_processes
    with processes.lost_processes_explained():
        JOBS[orders.job](orders, Path(orders.folder))
    processes.wait_for_all("end")


def train_and_log(orders, folder):
    losses, accuracies, leaves = fit_tiny(
        folder / "run",
        epochs=orders.steps,
        resume=orders.start > 0,
        parallel=orders.parallel,
    )
    if processes.is_first():
        read_alone(folder / "run", leaves)
        np.savez(folder / f"{orders.name}.npz", *leaves, losses=losses, correct=accuracies)


def read_alone(folder, leaves):
    """Read the newest variables, as an evaluation does, while the other processes wait."""
    store = RunFolder(folder).checkpoints
    model = tiny_model()
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    variables = store.read_variables(store.choose("last").step, shapes)
    known = [leaf.tobytes() for leaf in leaves]
    assert all(leaf.tobytes() in known for leaf in jax.tree.leaves(variables))


def take_steps(orders, folder):
    job = Job(Engine.create(orders.parallel))
    assert job.engine.num_devices == 2 * orders.num_processes
    losses = []
    with CheckpointStore(folder / "checkpoints") as store:
        state = job.fresh()
        if orders.start:
            state = store.read_state(orders.start, job.engine.abstract(state))
        state = job.engine.replicate(state)
        for number in range(orders.start, orders.steps):
            loss, state = job.train(state, [number % 8], local=True)
            losses += loss
            print(f"step {number + 1}", flush=True)
            if number + 1 == orders.save:
                store.save(job.engine.to_global(state), {"losses": losses})
                store.wait()
                print("saved", flush=True)
        correct = job.correct(state)
    if processes.is_first():
        leaves = host(job.engine.unreplicate(state))
        np.savez(folder / f"{orders.name}.npz", *leaves, losses=losses, correct=correct)


def train_on_photos(orders, folder):
    losses, accuracies, leaves = fit_photos(
        folder / "run", folder / "photos", resume=True, workers=1
    )
    if processes.is_first():
        np.savez(folder / f"{orders.name}.npz", *leaves, losses=losses, correct=accuracies)


JOBS = {"steps": take_steps, "fit": train_and_log, "photos": train_on_photos}


if __name__ == "__main__":
    try:
        main(Orders(**json.loads(sys.argv[1])))
    except processes.ProcessError as error:
        processes.end_at_once(f"error: {error}")
