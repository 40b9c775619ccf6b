"""Evaluation: logits and stage features equal torch's, and weights go both ways unchanged."""

import itertools

import numpy as np
import pytest
import torch
from differences import eval_difference, feature_differences, max_difference
from part_models import PARTS, part_model
from torch_twin import TORCHVISION, images, lively, to_nchw, twin_of

import resnet_jax as rj

TOLERANCE = 1e-4
SIZES = [(64, 64), (97, 65)]
DILATIONS = list(itertools.product([False, True], repeat=3))


@pytest.fixture(scope="module", params=TORCHVISION)
def pair(request):
    model = rj.create_model(request.param)
    return model, lively(twin_of(model))


def test_round_trip_is_bit_identical(pair):
    model, net = pair
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.fill_(3)
    state_dict = net.state_dict()
    back = rj.to_torch(model, rj.from_torch(model, state_dict), num_batches_tracked=3)
    assert list(back) == list(state_dict)
    for name, value in state_dict.items():
        original = value.numpy()
        assert (back[name].dtype, back[name].shape) == (original.dtype, original.shape), name
        assert back[name].tobytes() == original.tobytes(), name
    net.load_state_dict({name: torch.from_numpy(value) for name, value in back.items()})


@pytest.mark.parametrize("size", SIZES)
def test_logits(pair, size):
    assert eval_difference(*pair, size, jit=False) <= TOLERANCE


@pytest.mark.parametrize("variant", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_logits_compiled(variant):
    model = rj.create_model(variant)
    assert eval_difference(model, lively(twin_of(model)), (97, 65)) <= TOLERANCE


@pytest.mark.slow
def test_logits_compiled_of_every_variant(pair):
    for size in SIZES:
        assert eval_difference(*pair, size) <= TOLERANCE


@pytest.mark.parametrize("replace", DILATIONS)
def test_dilated_logits(replace):
    model = rj.ResNet(
        rj.Bottleneck, (1, 2, 2, 2), 10, base_planes=16, replace_stride_with_dilation=replace
    )
    net = lively(twin_of(model))
    for size in SIZES:
        assert eval_difference(model, net, size, jit=False) <= TOLERANCE
    # The option must matter, or the comparison would prove nothing.
    if any(replace):
        plain = model.clone(replace_stride_with_dilation=None)
        assert eval_difference(plain, net, (64, 64), jit=False) > 100 * TOLERANCE


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"stem": "cifar"}, 3),
        ({"stem": "cifar", "block": rj.Bottleneck}, 1),
        ({}, 1),
        ({"zero_init_residual": True}, 3),
    ],
)
def test_other_options(options, channels):
    model = rj.ResNet(**{"block": rj.BasicBlock, **options}, layers=(2, 1, 1, 1), base_planes=16)
    net = lively(twin_of(model, channels=channels), size=32)
    assert eval_difference(model, net, (33, 32), jit=False) <= TOLERANCE


@pytest.mark.parametrize("variant", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_features(variant):
    model = rj.create_model(variant)
    differences = feature_differences(model, lively(twin_of(model)), (97, 65))
    assert list(differences) == ["stem", "layer1", "layer2", "layer3", "layer4", "pooled"]
    assert max(differences.values()) <= TOLERANCE, differences


@pytest.mark.parametrize("kind", PARTS)
def test_parts(kind):
    model = part_model(kind)
    net = lively(twin_of(model))
    assert list(rj.to_torch(model, rj.from_torch(model, net.state_dict()))) == list(
        net.state_dict()
    )
    differences = feature_differences(model, net, (97, 65))
    assert max(differences.values()) <= TOLERANCE, differences


CIFAR = [name for name, row in rj.VARIANTS.items() if row.num_classes == 10]


@pytest.mark.parametrize("variant", CIFAR)
def test_variants_for_cifar(variant):
    """Every block of every variant, of few channels, and its names in torch's order."""
    model = rj.create_model(variant, base_planes=16)
    net = lively(twin_of(model), size=16)
    back = rj.to_torch(model, rj.from_torch(model, net.state_dict()))
    assert list(back) == list(net.state_dict())
    assert eval_difference(model, net, (16, 13), jit=False) <= TOLERANCE


WITHOUT = {
    "attention": ("deep stem", "channel attention"),
    "anti_alias": ("average pools", "dilated"),
    "act": ("channel attention",),
}


@pytest.mark.parametrize(
    ("option", "kind"), [(option, kind) for option, kinds in WITHOUT.items() for kind in kinds]
)
def test_parts_matter(option, kind):
    """The comparison would prove nothing if a part changed little."""
    model = part_model(kind)
    net = lively(twin_of(model))
    weights = dict(net.state_dict())
    if option == "attention":
        weights = {name: value for name, value in weights.items() if ".se." not in name}
    plain = model.clone(**{option: None})
    x = images(2, 97, 65, 3)
    without = plain.apply(rj.from_torch(plain, weights), x)
    with torch.no_grad():
        theirs = net.eval()(to_nchw(x))
    assert max_difference(without, theirs) > 100 * TOLERANCE


def test_a_trained_head_is_kept_and_a_new_one_started():
    model = rj.ResNet(rj.BasicBlock, (1, 1, 1, 2), num_classes=10, base_planes=8)
    net = lively(twin_of(model.clone(num_classes=1000)))
    variables = rj.from_torch(model, net.state_dict(), head="reinit")
    np.testing.assert_array_equal(
        variables["params"]["layer4_1"]["conv2"]["kernel"],
        net.layer4[1].conv2.weight.detach().numpy().transpose(2, 3, 1, 0),
    )
    assert variables["params"]["fc"]["kernel"].shape == (64, 10)
