"""Real processes on loopback, two virtual devices each: the numbers of one, resume, and a loss."""

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from board import numbers, shown
from photo_task import fit_photos
from pictures import write_folder
from tiny import Job, assert_close, first_devices, fit_tiny, host
from tiny_task import StopAt

from resnet_jax.run import CheckpointStore, processes, read_log
from resnet_jax.training import Engine

HERE = Path(__file__).parent
STEPS = 5
SECONDS = 600


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def workers(count, folder, name, *, job="steps", parallel="jit", start=0, save=3, steps=STEPS):
    """Start the processes, each with its output in a file, and end those that are left."""
    orders = {
        "coordinator": f"127.0.0.1:{free_port()}",
        "num_processes": count,
        "cache": jax.config.jax_compilation_cache_dir,
        "folder": str(folder),
        "job": job,
        "name": name,
        "parallel": parallel,
        "start": start,
        "save": save,
        "steps": steps,
    }
    python_path = os.pathsep.join(map(str, [HERE, *HERE.parents[:2]]))
    with contextlib.ExitStack() as stack:
        running = []
        for number in range(count):
            output = stack.enter_context((folder / f"{name}-{number}.txt").open("w"))
            process = subprocess.Popen(
                [sys.executable, HERE / "worker.py", json.dumps({**orders, "process_id": number})],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": python_path},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(process)
        yield running


def run(count, folder, name, **options):
    with workers(count, folder, name, **options) as running:
        for number, process in enumerate(running):
            code = process.wait(timeout=SECONDS)
            assert code == 0, (folder / f"{name}-{number}.txt").read_text()
    with np.load(folder / f"{name}.npz") as saved:
        leaves = [saved[f"arr_{index}"] for index in range(len(saved.files) - 2)]
        return saved["losses"], leaves, saved["correct"]


@functools.cache
def single():
    job = Job(first_devices("jit", 1))
    losses, state = job.train(job.engine.replicate(job.fresh()), range(STEPS))
    return losses, host(state), job.correct(state)


def same(result, expected, first=0):
    assert_close(result[0], result[1], expected[0][first:], expected[1])
    np.testing.assert_allclose(result[2], expected[2], rtol=1e-12)


def resume_here(folder, engine):
    """Go on from the checkpoint of step 3 in this process."""
    job = Job(engine)
    with CheckpointStore(folder / "checkpoints") as store:
        state = store.read_state(3, engine.abstract(job.fresh()))
    losses, state = job.train(engine.replicate(state), range(3, STEPS))
    return losses, host(engine.unreplicate(state)), job.correct(state)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_two_processes_as_one_and_resume(tmp_path, parallel):
    same(run(2, tmp_path, "whole", parallel=parallel), single())
    same(run(2, tmp_path, "resumed", parallel=parallel, start=3), single(), first=3)
    same(resume_here(tmp_path, first_devices("jit", 1)), single(), first=3)


def test_two_processes_fit_as_one_and_resume(tmp_path):
    losses, accuracies, leaves = fit_tiny(tmp_path / "single", epochs=2)
    expected = losses, leaves, accuracies
    result = run(2, tmp_path, "fit", job="fit", steps=1)
    np.testing.assert_allclose(result[0], losses[: len(losses) // 2], rtol=1e-5)
    same(run(2, tmp_path, "refit", job="fit", start=1, steps=2), expected)
    log = list(read_log(tmp_path / "run" / "metrics.jsonl"))
    kinds = [event["event"] for event in log]
    assert kinds == (["step"] * (len(losses) // 2) + ["epoch"]) * 2
    # Of the processes that were given the sink, one has written.
    assert shown(tmp_path / "run") == numbers(log)
    for name in ("fit", "refit"):
        assert (tmp_path / f"{name}-0.txt").read_text().count("| Validation: ") == 1
        assert "Epoch" not in (tmp_path / f"{name}-1.txt").read_text()


def test_two_processes_go_on_inside_an_epoch_of_files(tmp_path):
    """Each reads its part of every batch; together they take what one process would have."""
    root = write_folder(tmp_path / "photos", per_class=32)
    losses, accuracies, leaves = fit_photos(tmp_path / "whole", root)
    with pytest.raises(KeyboardInterrupt):
        fit_photos(tmp_path / "run", root, sinks=[StopAt(5)])
    same(run(2, tmp_path, "photos", job="photos"), (losses, leaves, accuracies))


@pytest.mark.slow
def test_two_processes_set_a_damaged_checkpoint_aside(tmp_path):
    losses, accuracies, leaves = fit_tiny(tmp_path / "single", epochs=2)
    run(2, tmp_path, "fit", job="fit", steps=2)
    newest = max((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    (newest / "progress.json").write_text("{")
    result = run(2, tmp_path, "again", job="fit", start=1, steps=2)
    same(result, (losses, leaves, accuracies))
    assert (tmp_path / "run" / "damaged" / newest.name / "progress.json").read_text() == "{"
    said = f"Warning: checkpoint {newest.name} is damaged (progress.json"
    assert said in (tmp_path / "again-0.txt").read_text()
    assert "Warning" not in (tmp_path / "again-1.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_four_processes_as_one_and_resume(tmp_path, parallel):
    same(run(4, tmp_path, "whole", parallel=parallel), single())
    same(run(4, tmp_path, "resumed", parallel=parallel, start=3), single(), first=3)
    same(resume_here(tmp_path, first_devices("jit", 1)), single(), first=3)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_leaves_the_checkpoint_whole(tmp_path):
    with workers(2, tmp_path, "killed", save=3, steps=1_000_000) as running:
        output = tmp_path / "killed-0.txt"
        deadline = time.monotonic() + SECONDS
        while not re.search("saved\nstep", output.read_text()):
            assert time.monotonic() < deadline, output.read_text()
            assert running[0].poll() is None, output.read_text()
            time.sleep(0.2)
        running[1].kill()
        code = running[0].wait(timeout=processes.HEARTBEAT_SECONDS + 60)
    # Gloo sees the broken connection at once, unless all its threads wait for others of this
    # process; JAX's runtime then ends it when the heartbeats have stayed away.
    said = {
        1: "error: process 0 of 2 has lost another one",
        -signal.SIGABRT: "This most likely indicates that another task died",
    }
    assert said[code] in output.read_text()
    same(resume_here(tmp_path, first_devices("jit", 1)), single(), first=3)


@pytest.fixture(scope="module")
def of_eight(tmp_path_factory):
    """Return a folder with the checkpoint of step 3, saved from eight devices."""
    folder = tmp_path_factory.mktemp("eight")
    job = Job(Engine.create("pmap"))
    _, state = job.train(job.engine.replicate(job.fresh()), range(3))
    with CheckpointStore(folder / "checkpoints") as store:
        store.save(job.engine.to_global(state), {})
    return folder


@pytest.mark.parametrize(("parallel", "count"), [("jit", 1), ("jit", 2), ("pmap", 4)])
def test_a_checkpoint_of_eight_devices_resumes_on_fewer(of_eight, parallel, count):
    same(resume_here(of_eight, first_devices(parallel, count)), single(), first=3)


def test_one_process_needs_no_cluster():
    processes.initialize()
    assert jax.process_count() == 1
    assert processes.is_first()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "a:1"}, "`num_processes` and `process_id` must be given"),
        ({"process_id": 0}, "`coordinator` and `num_processes` must be given"),
        ({"coordinator": "a", "num_processes": 2, "process_id": 0}, r"`coordinator` \(='a'\)"),
        ({"coordinator": "a:0", "num_processes": 2, "process_id": 0}, "must be host:port"),
        ({"coordinator": "a:1", "num_processes": 0, "process_id": 0}, r"`num_processes` \(=0\)"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, r"`process_id` \(=2\)"),
    ],
)
def test_arguments_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        processes.initialize(**given)
