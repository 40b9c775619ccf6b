"""Epochs over many image files: the memory of all processes stays as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from pictures import write_folder

ROOT = Path(__file__).parents[2]
EPOCHS = 5

TRAIN = """
import dataclasses, json, multiprocessing, os, sys
from pathlib import Path
from photo_task import CONFIG, photo_task
from tiny_task import Small, quiet_reporter
from resnet_jax.run import Sink, fit

def megabytes(process):
    "Return the memory of a process that is no part of a file, such as a library."
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024

class Memory(Sink):
    def __init__(self):
        self.epochs, self.most = [], 0

    def log(self, event):
        if event["event"] == "step":
            processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            self.most = max(self.most, sum(map(megabytes, processes)))
        elif event["event"] == "epoch":
            self.epochs.append(self.most)
            self.most = 0

if __name__ == "__main__":
    task = photo_task(Path(sys.argv[1]), workers=int(sys.argv[2]))
    task = dataclasses.replace(task, model=Small(200))
    config = dataclasses.replace(CONFIG, epochs=int(sys.argv[3]), batch_size=256)
    memory = Memory()
    fit(task, config, sinks=[memory], reporter=quiet_reporter())
    print(json.dumps(memory.epochs))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks memory up in /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_is_flat_over_five_epochs_of_twenty_thousand_files(tmp_path, workers):
    names = [f"class{number:03d}" for number in range(200)]
    photos = write_folder(tmp_path / "photos", classes=names, per_class=100)
    program = tmp_path / "train.py"
    program.write_text(TRAIN)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "JAX_PLATFORMS": "cpu",
        # The C library's pools of memory, one a thread, keep gaps of a few megabytes in each.
        "MALLOC_ARENA_MAX": "1",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    }
    command = [sys.executable, str(program), str(photos), str(workers), str(EPOCHS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"\n{workers} workers, MB: " + ", ".join(f"{megabytes:.0f}" for megabytes in found))
    assert len(found) == EPOCHS
    assert max(found) < 1500
    # The first epoch compiles, and the second is the first with an evaluation before it.
    assert found[-1] < found[1] + 10
