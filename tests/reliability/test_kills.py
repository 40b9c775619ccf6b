"""Kill -9 at random moments, and during saves: what is resumed ends as if nothing had been.

One run is killed again and again, each life going on from what the one before left.
"""

import json
import os
import queue
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .runs import TIMEOUT, log_of, start_tiny_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start_tiny_run(folder)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    return folder


def half_written(folder):
    """Return the checkpoints that are being saved, or were when a process was killed."""
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        return set()
    with os.scandir(checkpoints) as entries:
        return {(entry.name, entry.inode()) for entry in entries if "tmp" in entry.name}


def live_and_die(folder, generator):
    """Kill a run after some steps, or while it saves; return how it ended."""
    left = half_written(folder)
    resume = ["--resume"] * (folder / "config.json").exists()
    process = start_tiny_run(folder, *resume)
    lines = queue.SimpleQueue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(generator.randrange(8)):
        if lines.get(timeout=TIMEOUT) is None:
            break
    if generator.random() < 0.5:
        while process.poll() is None and half_written(folder) <= left:
            time.sleep(0.001)
    else:
        time.sleep(generator.random() * 0.05)
    in_save = not half_written(folder) <= left
    process.kill()
    reader.join()
    errors = process.stderr.read()
    process.wait(TIMEOUT)
    process.stdout.close()
    process.stderr.close()
    if process.returncode == 0:
        return "finished"
    assert process.returncode == -signal.SIGKILL, errors
    return "in a save" if in_save else "elsewhere"


def sequence(folder, kills, seed):
    """Kill runs in numbered folders until there were enough; return folders and ends."""
    generator = random.Random(seed)
    ends, folders, current = [], [], None
    while len(ends) < kills:
        if current is None:
            current = folder / str(len(folders))
            folders.append(current)
        end = live_and_die(current, generator)
        if end == "finished":
            current = None
        else:
            ends.append(end)
    return folders, ends


def kill_and_compare(tmp_path, whole, kills, workers=2):
    with ThreadPoolExecutor(workers) as pool:
        results = list(
            pool.map(
                lambda seed: sequence(tmp_path / f"sequence{seed}", kills // workers, seed),
                range(workers),
            )
        )
    expected = json.loads((whole / "outcome.json").read_text())
    for folders, _ in results:
        for folder in folders:
            if not (folder / "outcome.json").exists():
                resume = ["--resume"] * (folder / "config.json").exists()
                process = start_tiny_run(folder, *resume)
                _, errors = process.communicate(timeout=TIMEOUT)
                assert process.returncode == 0, errors
            assert json.loads((folder / "outcome.json").read_text()) == expected
            assert log_of(folder) == log_of(whole)
            # The last two and the best; no rubbish.
            assert len(list((folder / "checkpoints").iterdir())) <= 3
            assert not (folder / "damaged").exists()
    ends = [end for _, found in results for end in found]
    in_save = ends.count("in a save")
    runs = sum(len(folders) for folders, _ in results)
    print(f"\n{len(ends)} kills, {in_save} of them in a save, of {runs} runs")
    assert len(ends) == kills
    assert in_save > 0


def test_twenty_kills(tmp_path, whole):
    kill_and_compare(tmp_path, whole, 20)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path, whole):
    kill_and_compare(tmp_path, whole, 200)
