"""Whether a checkpoint belongs to a run."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data import Arrays
from resnet_jax.run import Identity, IdentityError
from resnet_jax.run.identity import changed_versions, check_identity, describe, layout, versions

ORIGIN = Path("x")


def test_the_same_after_json():
    wanted = Identity({"b": 0.1, "a": (1, 2), "path": Path("photos"), "size": np.int64(3)})
    check_identity({"a": [1, 2], "b": 0.1, "path": "photos", "size": 3}, wanted, ORIGIN)


def test_differences_are_named_choices_first():
    saved = {"a/kernel": "float32[3]", "variant": "resnet18"}
    wanted = Identity({"a/kernel": "float32[4]", "variant": "resnet34", "new": 1})
    with pytest.raises(IdentityError, match="cannot resume from x: `new` was None and is now 1"):
        check_identity(saved, wanted, ORIGIN)
    many = dict(zip("abcdef", range(6), strict=True))
    with pytest.raises(IdentityError, match=r"`d` was 3 and is now None; and 2 more\. Give"):
        check_identity(many, Identity(), ORIGIN)


def test_an_option_that_the_saved_run_did_not_have_yet():
    """It had its default, as a value or inside one."""
    saved = {"lr": 0.1, "controller": {"patience": 10}}
    defaults = {"new": "sgd", "controller": {"patience": 5, "cooldown": 0}}

    def check(**changes):
        values = {"lr": 0.1, "new": "sgd", "controller": {"patience": 10, "cooldown": 0}}
        check_identity(saved, Identity(values | changes, defaults), ORIGIN)

    check()
    with pytest.raises(IdentityError, match="`new` was 'sgd' and is now 'adam'"):
        check(new="adam")
    with pytest.raises(IdentityError, match=r"`controller` was .*'cooldown': 0"):
        check(controller={"patience": 10, "cooldown": 1})
    with pytest.raises(IdentityError, match=r"`controller` was .*'patience': 10"):
        check(controller={"patience": 5, "cooldown": 0})


def test_a_value_that_was_none_is_not_completed():
    saved = {"controller": None}
    wanted = Identity({"controller": {"patience": 10}}, {"controller": {"patience": 10}})
    with pytest.raises(IdentityError, match=r"`controller` was None and is now \{'patience': 10"):
        check_identity(saved, wanted, ORIGIN)


def test_only_what_both_have():
    saved = {"lr": 0.1, "run_dir": "runs/a"}
    check_identity(saved, Identity({"lr": 0.1, "data": "digits"}), ORIGIN, partial=True)
    with pytest.raises(IdentityError, match=r"`lr` was 0\.1 and is now 0\.2\. Give the same"):
        check_identity(saved, Identity({"lr": 0.2}), ORIGIN, partial=True)


def test_two_together():
    both = Identity({"a": 1, "b": 1}, {"a": 0}) | Identity({"b": 2}, {"b": 0})
    assert both == Identity({"a": 1, "b": 2}, {"a": 0, "b": 0})


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
    assert changed_versions({}) == ""  # of which nothing is known


def test_another_lowering_of_convolutions_is_named(monkeypatch):
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "0")
    before = versions()
    monkeypatch.setenv("RESNET_JAX_ONEDNN", "1")
    assert changed_versions(before) == "convolutions portable is now onednn"
