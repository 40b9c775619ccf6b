"""The environment of a report."""

import platform

import jax
import numpy as np

from resnet_jax.evaluation import environment
from resnet_jax.storage import PACKAGES, read_json, write_json


def test_environment_names_versions_and_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "0")
    result = environment()
    assert list(result["versions"]) == ["python", *PACKAGES]
    assert result["versions"]["python"] == platform.python_version()
    assert result["versions"]["jax"] == jax.__version__
    assert result["versions"]["numpy"] == np.__version__
    assert result["platform"] == jax.devices()[0].platform
    assert result["device_kind"] == jax.devices()[0].device_kind
    assert result["device_count"] == jax.device_count()
    assert result["process_count"] == 1
    assert result["convolutions"] == "portable (RESNET_JAX_ONEDNN=0)"
    write_json(tmp_path / "environment.json", result)
    assert read_json(tmp_path / "environment.json") == result
