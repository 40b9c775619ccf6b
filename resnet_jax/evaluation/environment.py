"""The environment that a report came from."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import jax

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
