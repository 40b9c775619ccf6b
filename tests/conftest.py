"""Settings of every test: eight virtual CPU devices and a compilation cache kept between runs."""

import os
from pathlib import Path

import jax
import pytest

# Eight devices on few cores may wait for one another for longer than the 40 seconds after which XLA
# ends the process.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_collective_call_terminate_timeout_seconds=600"]
).strip()
# Programs that call oneDNN cannot be kept; the tests of these calls ask for them.
os.environ.setdefault("RESNET_JAX_ONEDNN", "0")
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
# Ranks are never promoted silently.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache/resnet_jax/xla-tests")),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory):
    """Keep what tests prepare out of the user's data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_JAX_DATA", str(tmp_path_factory.mktemp("data-folder")))
        yield


@pytest.fixture(scope="session")
def images():
    # Imported here, because it computes with JAX, which is configured above.
    from tiny_task import digits

    return digits(200)


@pytest.fixture(scope="session")
def task():
    from tiny_task import tiny_task

    return tiny_task()
