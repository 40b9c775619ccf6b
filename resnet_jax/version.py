"""The version of this package."""

from .storage import DISTRIBUTION, package_versions

__version__ = package_versions([DISTRIBUTION])[DISTRIBUTION] or "unknown"
"""The installed version; "unknown" where the package is only on the path."""
