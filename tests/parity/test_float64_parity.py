"""In float64 the differences shrink to 1e-10: those of float32 are rounding, nothing else."""

import jax
import jax.numpy as jnp
import pytest
from differences import eval_difference, feature_differences, train_differences
from part_models import PARTS, part_model
from torch_twin import lively, twin_of

import resnet_jax as rj

TOLERANCE = 1e-10

MODELS = {
    "resnet18-like": {"block": rj.BasicBlock, "layers": (2, 2, 2, 2)},
    "bottleneck": {"block": rj.Bottleneck, "layers": (2, 1, 1, 1)},
    "grouped and dilated": {
        "block": rj.Bottleneck,
        "layers": (1, 1, 1, 1),
        "groups": 8,
        "width_per_group": 16,
        "replace_stride_with_dilation": (False, False, True),
    },
}


@pytest.mark.parametrize("kind", MODELS)
def test_everything_to_1e_10(kind):
    model = rj.ResNet(num_classes=10, base_planes=16, dtype=jnp.float64, **MODELS[kind])
    net = lively(twin_of(model)).double()
    with jax.enable_x64(True):
        for size in ((64, 64), (97, 65)):
            assert eval_difference(model, net, size, jit=False) <= TOLERANCE
        features = feature_differences(model, net, (97, 65))
        trained = train_differences(model, net, steps=10, batches=10, learning_rate=0.01)
    assert max(features.values()) <= TOLERANCE, features
    assert trained.logits <= TOLERANCE
    for differences in trained[1:]:
        assert max(differences.values()) <= TOLERANCE, differences


@pytest.mark.parametrize("kind", PARTS)
def test_parts_to_1e_10(kind):
    model = part_model(kind, dtype=jnp.float64)
    net = lively(twin_of(model)).double()
    with jax.enable_x64(True):
        features = feature_differences(model, net, (97, 65))
        trained = train_differences(model, net, steps=2, batches=2, learning_rate=0.01)
    assert max(features.values()) <= TOLERANCE, features
    assert trained.logits <= TOLERANCE
    for differences in trained[1:]:
        assert max(differences.values(), default=0.0) <= TOLERANCE, differences
