"""Processes of their own under the variables that launchers set: alone, together, or one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_processes import free_port

ROOT = Path(__file__).parents[2]
LAUNCHERS = re.compile("SLURM|OMPI|PMI|KUBERNETES|TPU|JAX_(COORDINATOR|NUM_PROCESSES|PROCESS_ID)")
CODE = """
import json, sys
import jax
from resnet_jax.run import processes
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
given = json.loads(sys.argv[1])
try:
    processes.initialize(**given)
except processes.ProcessError as error:
    processes.end_at_once(f"error: {error}")
except ValueError as error:
    raise SystemExit(f"error: {error}")
print("joined", jax.process_index(), jax.process_count(), jax.local_device_count(), flush=True)
sys.stdin.read()
"""
TASK = {
    "SLURM_JOB_ID": "70001",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "1",
    "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_STEP_NODELIST": "127.0.0.1",
    "SLURM_STEP_TASKS_PER_NODE": "1",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


@pytest.fixture
def start():
    """Start processes, which are killed in the end, with variables and arguments."""
    running = []

    def begin(variables, **given):
        kept = {name: text for name, text in os.environ.items() if not LAUNCHERS.match(name)}
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, json.dumps(given)],
            env={**kept, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def finish(process):
    """Let a process end; return its exit code and what it printed."""
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def joined(process):
    """Wait until a process has joined its others; return what it says of them."""
    for line in process.stdout:
        if line.startswith("joined"):
            return line.strip()
    raise AssertionError(process.stderr.read())


def test_steps_with_one_task_each(start):
    """None joins another, nor ends it, and each has all devices."""
    steps = []
    for number in "01234":
        steps.append(start({**TASK, "SLURM_STEP_ID": number}))
        assert joined(steps[-1]) == "joined 0 1 2"
    for step in steps:
        code, _, errors = finish(step)
        assert (code, errors) == (0, "")


def test_two_steps_with_two_tasks_each(start):
    """On the same node at the same time."""
    two = {**TASK, "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}
    two["SLURM_STEP_TASKS_PER_NODE"] = "2"
    tasks = {
        (step, number): start(
            {**two, "SLURM_STEP_ID": step, "SLURM_PROCID": number, "SLURM_LOCALID": number}
        )
        for step in "01"
        for number in "01"
    }
    for (_, number), task in tasks.items():
        assert joined(task) == f"joined {number} 2 2"
    for step in "01":
        # Both of a step end together.
        tasks[step, "1"].stdin.close()
        assert finish(tasks[step, "0"])[0] == 0
        assert tasks[step, "1"].wait(timeout=300) == 0


def test_a_shell_in_an_allocation(start):
    """It waits for nobody."""
    process = start({**TASK, "SLURM_NTASKS": "4"})
    assert joined(process) == "joined 0 1 2"
    code, _, errors = finish(process)
    assert code == 0
    assert errors.startswith("Slurm's job has 4 tasks, but this process was not started by srun")
    assert errors.count("\n") == 1


def test_one_process_whatever_the_environment(start):
    assert joined(start({"PMI_SIZE": "4", "PMI_RANK": "1"}, num_processes=1)) == "joined 0 1 2"


@pytest.mark.parametrize("number", [0, 1])
def test_others_that_never_come(start, number):
    """They are waited for as long as was said, and named."""
    address = f"127.0.0.1:{free_port()}"
    process = start({}, coordinator=address, num_processes=2, process_id=number, timeout=1)
    code, _, errors = finish(process)
    who = "the others" if number == 0 else "process 0"
    assert code == 1
    assert errors == (
        f"error: process {number} of 2 has waited 1 s for {who} at {address}; check that all "
        "processes were started and can reach its port\n"
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PMI_SIZE": "4", "PMI_RANK": "1"}, "MPI has started 4 processes, but does not say where"),
        ({"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}, "but nothing says which process of how many"),
    ],
)
def test_what_is_missing_is_named(start, variables, message):
    code, _, errors = finish(start(variables))
    assert code == 1
    assert re.fullmatch(rf"error: [^\n]*{re.escape(message)}[^\n]*\n", errors)
