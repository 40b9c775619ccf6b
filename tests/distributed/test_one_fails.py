"""Two processes of which one or both fail: each says why, in one line, and nobody waits long."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_processes import free_port

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
import jax
from experiments.cli import exit_code
from resnet_jax.run import processes

number, others, kind = json.loads(sys.argv[1])
ERRORS = {
    "device": jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
    "host": MemoryError("no room"),
    "option": ValueError("`epochs` (=0) must be at least 1"),
    "lost": jax.errors.JaxRuntimeError("INTERNAL: Gloo AllReduce failed: connection closed"),
}

def work():
    processes.initialize(others, 2, number, timeout=20)
    print("joined", flush=True)
    with processes.lost_processes_explained():
        if kind:
            raise ERRORS[kind]
        while True:
            processes.largest(1.0)

raise SystemExit(exit_code(work))
"""
SECONDS = 120
"""Far below what JAX's runtime waits for those that do not come."""
MEMORY = "error: out of memory: [^\n]*; try a smaller `batch_size`[^\n]*\n"


@pytest.fixture
def run_two():
    """Run two processes, each with its error and platform; return codes and what they said."""
    running = []

    def run(*kinds, platforms=("cpu", "cpu")):
        address = f"127.0.0.1:{free_port()}"
        for number, (kind, platform) in enumerate(zip(kinds, platforms, strict=True)):
            process = subprocess.Popen(
                [sys.executable, "-c", CODE, json.dumps([number, address, kind])],
                env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": platform},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.append(process)
        said = [process.communicate(timeout=SECONDS)[1] for process in running]
        return [process.returncode for process in running], said

    yield run
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("device", MEMORY),
        pytest.param("host", MEMORY, marks=pytest.mark.slow),
        pytest.param("option", "error: `epochs` [^\n]*\n", marks=pytest.mark.slow),
        ("lost", "error: process 1 of 2 has lost another one: INTERNAL: Gloo [^\n]*\n"),
    ],
)
def test_one_of_two(run_two, kind, line):
    """It names its own cause; the other one has lost it, or is ended by JAX's runtime."""
    codes, said = run_two(None, kind)
    assert codes[1] == (1 if kind == "lost" else 2)
    assert re.fullmatch(line, said[1]), said[1]
    assert codes[0] in (1, -signal.SIGABRT)
    assert "out of memory" not in said[0]
    if codes[0] == 1:
        assert said[0].startswith("error: process 0 of 2 has lost another one")


def test_both(run_two):
    """They leave together, as if each were alone."""
    codes, said = run_two("option", "option")
    assert codes == [2, 2]
    assert said == ["error: `epochs` (=0) must be at least 1\n"] * 2


def test_a_backend_that_one_of_two_does_not_have(run_two):
    codes, said = run_two(None, None, platforms=("cpu", "gpux"))
    assert codes[1] == 2
    assert re.fullmatch(r"error: the devices of [^\n]*JAX_PLATFORMS \(='gpux'\)[^\n]*\n", said[1])
    assert codes[0] == 1
    assert said[0].startswith("error: process 0 of 2 has waited 20 s for the others at 127.0.0.1")
    assert said[0].count("\n") == 1
