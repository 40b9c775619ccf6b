"""The versions of the installed packages that decide what a run computes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "resnet-jax")
"""Distribution names."""


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
