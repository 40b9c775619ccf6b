from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.evaluation import environment, per_class_accuracy
from resnet_jax.storage import write_json


def strict_load(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_writes_what_it_was_given(tmp_path):
    path = tmp_path / "runs" / "report.json"
    write_json(
        path,
        {
            "test_accuracy": 0.75,
            "best_epoch": 3,
            "resume": False,
            "archive": None,
            "class_names": ("Ångström", "b"),
            "config": {"run_dir": Path("a") / "b", "resize": 120},
        },
    )
    assert strict_load(path) == {
        "test_accuracy": 0.75,
        "best_epoch": 3,
        "resume": False,
        "archive": None,
        "class_names": ["Ångström", "b"],
        "config": {"run_dir": str(Path("a") / "b"), "resize": 120},
    }
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "Ångström" in text


def test_arrays_and_scalars_become_numbers(tmp_path):
    path = tmp_path / "report.json"
    write_json(
        path,
        {
            "int": np.int64(2**40),
            "float": np.float32(0.5),
            "bool": np.True_,
            "array": np.array([[1, 2], [3, 4]], np.int32),
            "jax": jnp.array(1.5),
            "half": jnp.array([0.25, 2.0], jnp.bfloat16),
        },
    )
    report = strict_load(path)
    assert report == {
        "int": 2**40,
        "float": 0.5,
        "bool": True,
        "array": [[1, 2], [3, 4]],
        "jax": 1.5,
        "half": [0.25, 2.0],
    }
    assert isinstance(report["bool"], bool)


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "report.json"
    values = {
        "nan": float("nan"),
        "inf": -np.inf,
        "numpy": np.float32("nan"),
        "list": [1.0, jnp.nan],
        "half": jnp.array(jnp.inf, jnp.bfloat16),
        "per_class": per_class_accuracy([[1, 1], [0, 0]]),
    }
    write_json(path, values)
    assert strict_load(path) == {
        "nan": None,
        "inf": None,
        "numpy": None,
        "list": [1.0, None],
        "half": None,
        "per_class": [0.5, None],
    }


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": {3: 1}}, "report['a'] has the key 3; keys must be str"),
        ({"a": [1, {"b": {1, 2}}]}, "report['a'][1]['b'] is a set, which JSON cannot hold"),
        ({"a": np.array(1j)}, "report['a'] has dtype complex128, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_the_old_report_stays(tmp_path, mapping, message):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_json(path, mapping)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_environment_names_versions_and_devices(tmp_path):
    result = environment()
    assert result["versions"]["python"] == platform.python_version()
    assert result["versions"]["jax"] == jax.__version__
    assert result["versions"]["numpy"] == np.__version__
    assert set(result["versions"]) == {
        *("python", "jax", "jaxlib", "flax", "optax", "orbax", "numpy", "resnet_jax")
    }
    assert result["platform"] == jax.devices()[0].platform
    assert result["device_kind"] == jax.devices()[0].device_kind
    assert result["device_count"] == jax.device_count()
    assert result["process_count"] == 1
    write_json(tmp_path / "environment.json", result)
    assert strict_load(tmp_path / "environment.json") == result


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(
        "resnet_jax.storage._PACKAGES", {"jax": "jax", "none": "no-such-distribution-x"}
    )
    versions = environment()["versions"]
    assert versions["none"] is None
    assert versions["jax"] == jax.__version__
