"""JAX's persistent cache: it keeps what it can, and nobody hears of the rest."""

import json
import subprocess
import sys

import pytest

from resnet_jax.ops import cpu_lowering

PROGRAM = '''
"""Compiles programs with and without calls, with the cache in the folder of the argument."""
import json, os, sys

import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
from resnet_jax.ops import conv2d

loaded = 0


def hear(event, **_):
    global loaded
    loaded += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(hear)


@jax.jit
def before(x):
    return jnp.tanh(x).sum()


@jax.jit
def calls(x, kernel):
    return conv2d(x, kernel).sum()


@jax.jit
def after(x):
    return jnp.sinh(x).sum()


@jax.jit
def last(x):
    return jnp.cosh(x).sum()


x, kernel = jnp.ones((2, 4, 4, 2)), jnp.ones((3, 3, 2, 2))
before(x)
calls(x, kernel)
assert "onednn" in calls.lower(x, kernel).as_text()
after(x)
# A program that is lowered now and compiled later, and one that is compiled for another device.
again = jax.jit(lambda x, kernel: conv2d(x, kernel)).lower(x, kernel)
other = jax.jit(lambda x: x + 1).lower(x)
again.compile()
other.compile()
for device in jax.devices():
    calls(*jax.device_put((x, kernel), device))
last(x)
kept = sorted(name.split("-")[0] for name in os.listdir(sys.argv[1]) if name.endswith("-cache"))
print(json.dumps({"kept": kept, "loaded": loaded}))
'''


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "auto")
    if cpu_lowering().name != "onednn":
        pytest.skip(str(cpu_lowering()))

    def run() -> dict:
        command = [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_programs_without_calls_are_kept_and_loaded(run):
    first = run()
    assert {"jit_before", "jit_after", "jit_last"} <= set(first["kept"])
    assert "jit_calls" not in first["kept"]
    assert first["loaded"] == 0
    second = run()
    assert second["kept"] == first["kept"]
    assert second["loaded"] >= 3
