"""A tiny network in a folder, as timm writes it."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_jax as rj
from resnet_jax.models import options_from_timm

CLASSES = 5
NAMES = ("tench", "goldfish", "hen", "jay", "n5")
ARGS = {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}
CONFIG = {
    "architecture": "resnet18",
    "num_classes": CLASSES,
    "num_features": 64,
    "global_pool": "avg",
    "label_names": ["n1", "n2", "n3", "n4", "n5"],
    "label_descriptions": {"n1": "tench", "n2": "goldfish", "n3": "hen", "n4": "jay"},
    "model_args": ARGS,
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "custom_load": False,
        "input_size": [3, 64, 64],
        "test_input_size": [3, 80, 80],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "num_classes": 1000,
        "pool_size": [2, 2],
        "first_conv": "conv1",
        "classifier": "fc",
        "license": "apache-2.0",
    },
}
"""The new form, with the entries that timm's repositories have."""


def make_variables(model, channels=3, seed=0):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, channels)))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: 0.1 * rng.random(leaf.shape, np.float32), shapes)


def write(folder, config=CONFIG, tensors=None, name="model.safetensors"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if tensors is not None:
        save_file(tensors, folder / name)
    return folder


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.fixture(scope="session")
def model():
    return rj.create_model("resnet18", CLASSES, **options_from_timm(ARGS, "resnet18"))


@pytest.fixture(scope="session")
def variables(model):
    return make_variables(model)


@pytest.fixture(scope="session")
def tensors(model, variables):
    return rj.to_torch(model, variables)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tensors):
    """The folder of a network; not to be changed."""
    return write(tmp_path_factory.mktemp("folders") / "network", tensors=tensors)
