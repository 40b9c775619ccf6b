"""With 64-bit types enabled in JAX, the library computes the same numbers in the same types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from x64_worker import CASES

FOLDER = Path(__file__).parent
CACHE = str(Path.home() / ".cache/resnet_jax/xla-tests")
# Another program may round otherwise, and Adam corrects its bias with a number of float64 then.
ROUNDED = ("fit", "conv", "batch norm", "group norm", "logits", "grad-cam")
# Flax draws other masks.
OTHER_DRAWS = ("fit dropout",)


def run(setting, file):
    """Compute every case; return the errors by the name of the case, and the arrays."""
    paths = (str(FOLDER.parents[1]), str(FOLDER.parent), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "JAX_ENABLE_X64": setting,
        # What is computed in two types is cast on purpose.
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", CACHE),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "x64_worker.py"), str(file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert output["x64"] is (setting == "1")
    return output["errors"], dict(np.load(file))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("x64")
    return [run(setting, folder / f"{setting}.npz") for setting in ("0", "1")]


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_and_types_stay(results, name):
    leaves = []
    for errors, arrays in results:
        assert name not in errors, errors[name]
        leaves.append({key: a for key, a in arrays.items() if key.startswith(f"{name}/")})
    narrow, wide = leaves
    assert narrow
    assert narrow.keys() == wide.keys()
    for key, array in narrow.items():
        assert (wide[key].dtype, wide[key].shape) == (array.dtype, array.shape), key
        if name in OTHER_DRAWS:
            continue
        tolerance = 1e-4 * np.abs(array).max() if name.startswith(ROUNDED) else 0.0
        np.testing.assert_allclose(wide[key], array, rtol=0, atol=tolerance, err_msg=key)
