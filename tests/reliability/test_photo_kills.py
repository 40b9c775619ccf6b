"""Kill -9 at random moments of a run on image files, in one process or two, with any workers.

Each life goes on from what the one before left, as another number of processes and of workers.
"""

import contextlib
import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from pictures import write_folder

from resnet_jax.run import read_log

from .runs import ROOT, TIMEOUT

PHOTO_RUN = Path(__file__).with_name("photo_run.py")
KILLS = 20
DEVICES = 2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def life(photos, folder, count, workers):
    """Start a run of `count` processes with two devices in all; kill what is left of it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "PYTHONUNBUFFERED": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(DEVICES // count),
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    arguments = ["--data-dir", str(photos), "--run-dir", str(folder), "--workers", str(workers)]
    if (folder / "config.json").exists():
        arguments.append("--resume")
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(count):
            together = ["--coordinator", address, "--num-processes", str(count)]
            together += ["--process-id", str(number)]
            errors = stack.enter_context((folder.parent / f"errors-{number}.txt").open("w"))
            process = subprocess.Popen(
                [sys.executable, str(PHOTO_RUN), *arguments, *(together if count > 1 else [])],
                env=environment,
                stdout=subprocess.PIPE if number == 0 else subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        stack.callback(processes[0].stdout.close)
        yield processes


def live_and_die(photos, folder, generator):
    """Kill a run after some steps; return the number of its lines, or None if it finished."""
    count, workers = generator.choice([1, 2]), generator.choice([0, 1, 2, 4])
    with life(photos, folder, count, workers) as processes:
        lines = queue.SimpleQueue()

        def read():
            for line in processes[0].stdout:
                lines.put(line)
            lines.put(None)

        reader = threading.Thread(target=read)
        reader.start()
        seen, wanted = 0, generator.randrange(18)
        while seen < wanted and lines.get(timeout=TIMEOUT) is not None:
            seen += 1
        time.sleep(generator.random() * 0.3)
        # One of them, and the others shortly after, as by a cluster that notices it.
        for process in generator.sample(processes, count):
            process.kill()
            time.sleep(generator.random() * 0.2)
        reader.join(TIMEOUT)
        codes = [process.wait(TIMEOUT) for process in processes]
    if 0 in codes[:1]:
        return None
    for number, code in enumerate(codes):
        assert code != 2, (folder.parent / f"errors-{number}.txt").read_text()
    return seen


def finish(photos, folder, count, workers):
    with life(photos, folder, count, workers) as processes:
        printed, _ = processes[0].communicate(timeout=TIMEOUT)
        codes = [process.wait(TIMEOUT) for process in processes]
    assert codes == [0] * count, (folder.parent / "errors-0.txt").read_text() + printed
    return json.loads((folder / "outcome.json").read_text())


@pytest.mark.slow
def test_twenty_kills_of_a_run_on_twenty_thousand_files(tmp_path):
    names = [f"class{number:03d}" for number in range(200)]
    photos = write_folder(tmp_path / "photos", classes=names, per_class=100)
    for place in ("whole", "killed"):
        (tmp_path / place).mkdir()
    expected = finish(photos, tmp_path / "whole" / "run", 1, 0)
    generator, folder = random.Random(0), tmp_path / "killed" / "run"
    kills = 0
    while kills < KILLS and live_and_die(photos, folder, generator) is not None:
        kills += 1
    outcome = finish(photos, folder, 2, 1)
    peaks = [found.pop("peak_mb") for found in (expected, outcome)]
    leaves = [np.array(found.pop("leaves")) for found in (expected, outcome)]
    print(
        f"\n{kills} kills; equal to the bit: {outcome == expected}, parameters differ by "
        f"{np.abs(leaves[0] - leaves[1]).max():g} at most; peak memory {peaks} MB"
    )
    assert kills == KILLS
    assert max(peaks) < 1500
    for name in ("learning_rates", "image_sizes", "best"):
        assert outcome[name] == expected[name]
    # Two processes may add in another order than one.
    for one, other in zip(outcome["history"], expected["history"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    np.testing.assert_allclose(*leaves, rtol=1e-4, atol=1e-6)
    logs = [list(read_log(path / "metrics.jsonl")) for path in (folder, tmp_path / "whole" / "run")]
    assert len(logs[0]) == len(logs[1])
    assert not (folder / "damaged").exists()
