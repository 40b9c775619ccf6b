"""What a network predicts of one image, by name."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj

from .conftest import NAMES

IMAGE = np.random.default_rng(3).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("api", ["linen", "nnx"])
def test_classes_without_a_name_have_their_numbers(folder, api):
    loaded = rj.load_pretrained(folder, api=api)
    named = loaded.predict(IMAGE)
    few = dataclasses.replace(loaded, class_names=NAMES[:2]).predict(IMAGE)
    numbers = {name: name if index < 2 else str(index) for index, name in enumerate(NAMES)}
    assert few == [(numbers[name], value) for name, value in named]
    assert {name for name, _ in few} == {*NAMES[:2], "2", "3", "4"}


def test_images_on_a_device(folder):
    loaded = rj.load_pretrained(folder)
    assert loaded.predict(jnp.asarray(IMAGE), top=np.uint8(2)) == loaded.predict(IMAGE, top=2)


def test_several_images_are_refused(folder):
    loaded = rj.load_pretrained(folder)
    with pytest.raises(
        ValueError, match=r"^`image` is of type list; expected a Pillow image or uint8"
    ):
        loaded.predict([IMAGE])
    with pytest.raises(TypeError, match=r"^`top` \(=2.5\) must be a whole number$"):
        loaded.predict(IMAGE, top=2.5)
