"""Versions of packages, installed or not."""

import jax
import numpy as np

from resnet_jax.storage import PACKAGES, package_versions


def test_installed_packages():
    versions = package_versions()
    assert tuple(versions) == PACKAGES
    assert versions["jax"] == jax.__version__
    assert versions["numpy"] == np.__version__
    assert None not in versions.values()


def test_a_package_that_is_not_installed_has_no_version():
    versions = package_versions(["jax", "no-such-distribution-x"])
    assert versions == {"jax": jax.__version__, "no-such-distribution-x": None}
