"""A run's report as strict JSON, and the environment that it came from."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .atomic import atomic_path

# Distribution names, by the name they are reported under.
_PACKAGES = {
    "jax": "jax",
    "jaxlib": "jaxlib",
    "flax": "flax",
    "optax": "optax",
    "orbax": "orbax-checkpoint",
    "numpy": "numpy",
    "resnet_jax": "resnet_jax",
}


def environment() -> dict[str, Any]:
    """Return what a reader needs to run the same again.

    Returns:
        `versions` (python and each package; None for one that is not installed), `system` (the
        operating system), `platform` (JAX's: cpu, gpu or tpu), `device_kind`, `device_count` and
        `process_count`.
    """
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name, distribution in _PACKAGES.items():
        try:
            versions[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    device = jax.devices()[0]
    return {
        "versions": versions,
        "system": platform.platform(),
        "platform": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
    }


def write_report(path: str | os.PathLike[str], mapping: Mapping[str, Any]) -> None:
    """Write `mapping` as a JSON file that any parser reads, completely or not at all.

    JSON has no number for nan and infinities: they become null. NumPy and JAX scalars and arrays
    become numbers and lists, paths become strings, tuples lists.

    Args:
        path: the file; missing parent folders are made, an existing file is replaced.
        mapping: str keys, nested at will.

    Raises:
        ValueError: a key is not a str, or a value has no place in JSON; nothing is written.
    """
    text = json.dumps(plain(mapping, "report"), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def plain(value: Any, where: str) -> Any:
    """Return `value` in JSON's own types; `where` names it in the error."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        array = np.asarray(value)
        if array.dtype.kind in "biufU":
            return plain(array.tolist(), where)
        # bfloat16 and the other small floats are kinds of their own in NumPy.
        if jax.numpy.issubdtype(array.dtype, np.floating):
            return plain(array.astype(np.float64).tolist(), where)
        raise ValueError(f"{where} has dtype {array.dtype}, which JSON cannot hold")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; keys must be str")
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold")
