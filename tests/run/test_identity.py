"""Whether a checkpoint belongs to a run."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data import Arrays
from resnet_jax.run import CheckpointError
from resnet_jax.run.identity import (
    changed_versions,
    check_identity,
    describe,
    layout,
    versions,
)


def test_the_same_after_json():
    check_identity({"a": [1, 2], "b": 0.1}, {"b": 0.1, "a": (1, 2)}, Path("x"))


def test_differences_are_named_choices_first():
    saved = {"a/kernel": "float32[3]", "variant": "resnet18"}
    wanted = {"a/kernel": "float32[4]", "variant": "resnet34", "new": 1}
    with pytest.raises(CheckpointError, match="cannot resume from x: `new` was None and is now 1"):
        check_identity(saved, wanted, Path("x"))
    with pytest.raises(CheckpointError, match=r"`d` was 3 and is now None; and 2 more\. Give"):
        check_identity(dict(zip("abcdef", range(6), strict=True)), {}, Path("x"))


def test_layout():
    tree = {"b": jnp.zeros((2, 3), jnp.bfloat16), "a": (jnp.int32(1),)}
    assert layout(tree) == {"a/0": "int32[]", "b": "bfloat16[2,3]"}


def test_data_is_described_by_all_of_it():
    images, labels = np.zeros((3, 2, 2, 1), np.uint8), np.arange(3, dtype=np.int32)
    first = describe(Arrays(images, labels))
    assert first.startswith("3 images, ")
    other = images.copy()
    other[2, 1, 1, 0] = 1
    described = {
        first,
        describe(Arrays(other, labels)),
        describe(Arrays(images, labels[::-1].copy())),
        describe(Arrays(images[:2], labels[:2])),
    }
    assert len(described) == 4


def test_versions():
    assert {"jax", "flax", "numpy"} <= versions().keys()
    assert changed_versions(versions()) == ""
    assert changed_versions({**versions(), "jax": "0.1"}).startswith("jax 0.1 is now ")
