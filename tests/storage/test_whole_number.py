"""Whole numbers become Python's, and nothing else is one."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.storage import whole_number


@pytest.mark.parametrize(
    "value", [200, np.uint8(200), np.int64(200), np.array(200), jnp.int32(200)]
)
def test_whole_numbers(value):
    found = whole_number("size", value)
    assert type(found) is int
    assert found == 200


@pytest.mark.parametrize("value", [2.0, np.float32(2), "2", None, [2], np.array([2])])
def test_what_is_none(value):
    with pytest.raises(TypeError, match=r"`size` \(=.*\) must be a whole number"):
        whole_number("size", value)


def test_bounds():
    assert whole_number("size", 0, least=0) == 0
    assert whole_number("size", -3, least=None) == -3
    with pytest.raises(ValueError, match=r"`size` \(=0\) must be at least 1"):
        whole_number("size", np.int8(0))
