"""Folders of ResNets in the form of Hugging Face's transformers."""

import json
import re

import numpy as np
import pytest

import resnet_jax as rj
from resnet_jax.data import ImageTransform
from resnet_jax.models import Bottleneck

from .conftest import CLASSES, NAMES, assert_same, make_variables, write

CONFIG = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [32, 64, 128, 256],
    "depths": [1, 2, 1, 1],
    "layer_type": "bottleneck",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "id2label": {str(index): name for index, name in enumerate(NAMES)},
    "label2id": {name: index for index, name in enumerate(NAMES)},
    "num_channels": 3,
}
PROCESSOR = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.2, 0.2, 0.2],
    "resample": 3,
    "size": 64,
}


@pytest.fixture(scope="module")
def network():
    model = rj.ResNet(Bottleneck, (1, 2, 1, 1), CLASSES, base_planes=8)
    return model, make_variables(model)


@pytest.fixture(scope="module")
def renamed(network):
    """The tensors under names written out for this network."""
    of_stem = {
        "conv1": "embedder.embedder.convolution",
        "bn1": "embedder.embedder.normalization",
    }
    inner = {"downsample.0": "shortcut.convolution", "downsample.1": "shortcut.normalization"}
    inner |= {f"conv{n + 1}": f"layer.{n}.convolution" for n in range(3)}
    inner |= {f"bn{n + 1}": f"layer.{n}.normalization" for n in range(3)}
    names = {}
    for name, value in rj.to_torch(*network).items():
        module, _, leaf = name.rpartition(".")
        if module == "fc":
            module = "classifier.1"
        elif module in of_stem:
            module = f"resnet.{of_stem[module]}"
        else:
            stage, block, rest = re.fullmatch(r"layer(\d)\.(\d)\.(.+)", module).groups()
            module = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}.{inner[rest]}"
        names[f"{module}.{leaf}"] = value
    return names


def test_a_folder(tmp_path, network, renamed):
    model, variables = network
    folder = write(tmp_path / "hf", CONFIG, renamed)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    loaded = rj.load_pretrained(folder)
    assert loaded.class_names == NAMES
    assert_same(loaded.variables, variables)
    x = make_variables(model)["params"]["fc"]["kernel"].reshape(-1)[:768].reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(
        loaded.model.apply(loaded.variables, x), model.apply(variables, x)
    )
    assert loaded.transform == ImageTransform(
        resize=73, crop=64, interpolation="bicubic", mean=(0.5,) * 3, std=(0.2,) * 3
    )
    assert loaded.config["pretrained_cfg"]["crop_pct"] == 0.875


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"size": {"shortest_edge": 64}}, {"resize": 73, "crop": 64}),
        (
            {"size": {"shortest_edge": 80}, "crop_size": {"height": 64, "width": 64}},
            {"resize": 80, "crop": 64},
        ),
        (
            {"size": {"height": 64, "width": 64}, "resample": 2},
            {"resize": 64, "crop": 64, "crop_mode": "squash", "interpolation": "bilinear"},
        ),
        ({"size": 384}, {"resize": 384, "crop": 384, "crop_mode": "squash"}),
        ({"do_normalize": False}, {"resize": 256, "mean": (0.0,) * 3, "std": (1.0,) * 3}),
    ],
)
def test_image_processors(tmp_path, renamed, processor, expected):
    folder = write(tmp_path / "hf", CONFIG, renamed)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    expected = {"interpolation": "bicubic", **expected}
    assert rj.load_pretrained(folder).transform == ImageTransform(**expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "vit"}, r"`model_type` \(='vit'\) must be 'resnet'"),
        ({"layer_type": "odd"}, r"`layer_type` \(='odd'\) must be 'basic' or 'bottleneck'"),
        ({"downsample_in_bottleneck": True}, r"`downsample_in_bottleneck` \(=True\) must be F"),
        ({"hidden_sizes": [1, 2, 3, 4]}, r"`hidden_sizes` .* times `embedding_size` \(=8\)"),
        ({"depths": "many"}, r"`depths` \(='many'\) must be four numbers"),
        ({"depths": [1, 1, 1]}, r"`depths` \(=\[1, 1, 1\]\) must be four numbers"),
        ({"id2label": {"0": "a", "2": "b"}}, "`id2label` has no entry for the class 1"),
    ],
)
def test_mistakes(tmp_path, renamed, changes, message):
    folder = write(tmp_path / "hf", {**CONFIG, **changes}, renamed)
    with pytest.raises(rj.WeightsError, match=message):
        rj.load_pretrained(folder)
