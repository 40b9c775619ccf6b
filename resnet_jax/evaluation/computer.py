"""The environment that produced a report: versions of packages, system and devices."""

from __future__ import annotations

import platform
from typing import Any

import jax

from ..ops import cpu_lowering
from ..storage import package_versions


def environment() -> dict[str, Any]:
    """Return what a reader must know of the environment to reproduce a result.

    Returns:
        `versions` (of Python and of each package, None for one that is not installed), `system`
        (the operating system), `platform` (of JAX: cpu, gpu or tpu), `device_kind`,
        `device_count` and `process_count`; on the CPU also `convolutions` (how those of float32
        are computed, and why).
    """
    device = jax.devices()[0]
    facts = {
        "versions": {"python": platform.python_version(), **package_versions()},
        "system": platform.platform(),
        "platform": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
    }
    if device.platform == "cpu":
        facts["convolutions"] = str(cpu_lowering())
    return facts
