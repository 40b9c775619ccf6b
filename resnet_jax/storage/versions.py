"""The installed packages: this one's name, and the versions that decide what a run computes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

DISTRIBUTION = "flax-resnet"
"""Name under which pip knows this package; its import name is `resnet_jax`."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", DISTRIBUTION)
"""Distribution names."""


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra.

    Args:
        extra: name of the extra in this package's metadata.

    >>> install_command("onnx")
    "pip install 'flax-resnet[onnx]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Return the version of each package, without importing it.

    Args:
        packages: distribution names.

    Returns:
        Versions by distribution name, in the order given; None for a package that is not
        installed.

    >>> package_versions(["no-such-package"])
    {'no-such-package': None}
    """
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    """Return the version of one package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
