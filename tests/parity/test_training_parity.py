"""Training: logits, every gradient and every running statistic equal torch's."""

import pytest
from differences import small_learning_rate, train_differences
from part_models import part_model
from torch_twin import TORCHVISION, lively, twin_of

import resnet_jax as rj

LOGITS, GRADIENTS, STATISTICS = 1e-4, 1e-3, 1e-4

# One of each kind of block; the widths are the variants' own.
SHALLOW = {
    "basic": {"block": rj.BasicBlock, "layers": (2, 1, 1, 1)},
    "bottleneck": {"block": rj.Bottleneck, "layers": (2, 1, 1, 1)},
    "grouped": {
        "block": rj.Bottleneck,
        "layers": (1, 1, 1, 1),
        "groups": 32,
        "width_per_group": 4,
    },
    "wide": {"block": rj.Bottleneck, "layers": (1, 1, 1, 1), "width_per_group": 128},
    "dilated": {
        "block": rj.Bottleneck,
        "layers": (1, 1, 2, 2),
        "base_planes": 32,
        "replace_stride_with_dilation": (False, True, True),
    },
    "cifar": {"block": rj.BasicBlock, "layers": (1, 1, 1, 1), "base_planes": 16, "stem": "cifar"},
}


PARTS_IN_FLOAT32 = ("no max-pool", "channel attention", "group norm", "option A", "pre-activated")


def check(differences):
    assert differences.logits <= LOGITS
    assert max(differences.gradients.values()) <= GRADIENTS, differences.gradients
    for statistics in (differences.first_statistics, differences.last_statistics):
        assert max(statistics.values(), default=0.0) <= STATISTICS, statistics


@pytest.mark.parametrize("kind", SHALLOW)
def test_one_and_ten_steps(kind):
    model = rj.ResNet(num_classes=100, **SHALLOW[kind])
    check(train_differences(model, lively(twin_of(model)), steps=10))


@pytest.mark.parametrize("kind", PARTS_IN_FLOAT32)
def test_one_and_ten_steps_of_parts(kind):
    model = part_model(kind)
    check(train_differences(model, lively(twin_of(model)), steps=10))


@pytest.mark.slow
@pytest.mark.parametrize("variant", TORCHVISION)
def test_one_and_ten_steps_of_every_variant(variant):
    model = rj.create_model(variant)
    rate = small_learning_rate(model)
    check(train_differences(model, lively(twin_of(model)), steps=10, learning_rate=rate))
