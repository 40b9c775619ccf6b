"""Every architecture of timm's `resnet.py` with random weights: our logits are timm's."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from timm import create_model, list_models
from timm.models import resnet as timm_resnet
from torch import nn

import resnet_jax as rj
from resnet_jax.models import stage_of, stages_up_to

TOLERANCE = 1e-4
NAMES = list_models(module="resnet")
# Timm has weights of this one, and no function that makes it.
WITHOUT_FUNCTION = "resnext101_32x48d"
# Side lengths that are odd, so that every rounding of a size shows.
SIZE = (65, 97)
# Every part of a network occurs in one of these.
WITH_FEATURES = [
    "test_resnet",
    "resnet10t",
    "resnet18d",
    "resnet50c",
    "resnet50_gn",
    "ecaresnet26t",
    "ecaresnet50d_pruned",
    "ecaresnetlight",
    "seresnext26d_32x4d",
    "resnetblur18",
    "resnetaa34d",
    "resnetrs50",
    "seresnet18",
    "senet154",
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def free_memory():
    yield
    gc.collect()


def lively(net: nn.Module, x: torch.Tensor, seed: int = 0) -> nn.Module:
    """Give a network statistics, scales and biases as training leaves them, none of them 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator))
            norm.bias.copy_(0.2 * torch.randn(norm.bias.shape, generator=generator))
            norm.momentum = 1.0
        for block in net.modules():
            if isinstance(block, timm_resnet.BasicBlock | timm_resnet.Bottleneck):
                last = block.bn3 if isinstance(block, timm_resnet.Bottleneck) else block.bn2
                last.weight.mul_(0.3)
        net.train()(x)
    return net.eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(1))


def pair(name: str, x: torch.Tensor, **options):
    torch.manual_seed(0)
    net = lively(create_model(name, num_classes=10, zero_init_last=False, **options), x)
    model = rj.create_model(name, num_classes=10, **rj.models.options_from_timm(options, name))
    return net, model


def nhwc(x: torch.Tensor) -> np.ndarray:
    array = x.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def difference(ours, theirs: torch.Tensor) -> float:
    """Return max |Δ| / max |theirs|."""
    ours, expected = np.asarray(ours), nhwc(theirs)
    assert ours.shape == expected.shape, (ours.shape, expected.shape)
    return float(np.abs(ours - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_weights(name):
    x = images(*SIZE)
    net, model = pair(name, x)
    state_dict = net.state_dict()
    variables = rj.from_torch(model, state_dict)
    with torch.inference_mode():
        theirs = net(x)
    assert theirs.std() > 1e-3
    ours = model.apply(variables, nhwc(x))
    assert difference(ours, theirs) <= TOLERANCE

    back = rj.to_torch(model, variables, num_batches_tracked=1)
    assert list(back) == list(state_dict)
    for key, value in state_dict.items():
        np.testing.assert_array_equal(back[key], value.numpy(), err_msg=key)
    assert {stage_of(part) for part in variables["params"]} == {*stages_up_to("layer4"), "head"}


@pytest.mark.parametrize("name", WITH_FEATURES)
def test_features(name):
    x = images(65, 98)
    net, model = pair(name, x)
    variables = rj.from_torch(model, net.state_dict())
    ours = model.apply(variables, nhwc(x), method="features")
    with torch.inference_mode():
        last, maps = net.forward_intermediates(x)
        stem = net.maxpool(maps[0])
        pooled = net.forward_head(last, pre_logits=True)
    expected = dict(zip(ours, [stem, *maps[1:], pooled], strict=True))
    differences = {key: difference(ours[key], expected[key]) for key in expected}
    assert max(differences.values()) <= TOLERANCE, differences


# The first block of a dilated stage, where timm's rules for the parts differ.
@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize(
    "name",
    ["resnet26", "resnet26d", "resnetblur50", "resnetaa50d", "senet154", "seresnext26t_32x4d"],
)
def test_dilated(name, output_stride):
    x = images(66, 97)
    net, model = pair(name, x, output_stride=output_stride)
    variables = rj.from_torch(model, net.state_dict())
    with torch.inference_mode():
        theirs = net.forward_features(x)
    ours = model.apply(variables, nhwc(x), method="features")["layer4"]
    assert difference(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet14t", {"act_layer": "silu"}),
        ("resnet14t", {"act_layer": "leaky_relu", "stem_type": ""}),
        ("resnet14t", {"act_layer": "gelu", "stem_type": "deep", "stem_width": 24}),
        ("resnet14t", {"replace_stem_pool": True, "avg_down": False}),
        ("resnet14t", {"avg_down": False, "down_kernel_size": 3, "block_reduce_first": 2}),
        ("resnet14t", {"block_args": {"attn_layer": "eca"}, "cardinality": 4, "base_width": 16}),
        ("resnet14t", {"channels": [32, 64, 96, 128]}),
        ("resnet26", {"norm_layer": "groupnorm", "layers": [1, 1, 1, 1]}),
        ("resnet26", {"channels": [32, 64, 96, 128], "layers": [1, 2, 1, 1]}),
        ("resnet26", {"stem_type": "deep", "layers": [1, 1, 1, 1]}),
        ("resnetblur18", {"replace_stem_pool": True}),
        ("resnetblur18", {"act_layer": "mish", "in_chans": 3, "drop_rate": 0.0}),
        ("resnet18", {"aa_layer": nn.AvgPool2d, "act_layer": "hard_swish"}),
        ("resnetaa34d", {"act_layer": "elu", "layers": [1, 1, 1, 1], "stem_width": 24}),
        ("resnetrs50", {"layers": [1, 1, 1, 1], "replace_stem_pool": False}),
    ],
)
def test_arguments(name, arguments):
    """Timm takes a class for anti-aliasing where JSON has its name."""
    x = images(65, 97)
    torch.manual_seed(0)
    net = lively(create_model(name, num_classes=10, zero_init_last=False, **arguments), x)
    if arguments.get("aa_layer") is nn.AvgPool2d:
        arguments = {**arguments, "aa_layer": "avg"}
    model = rj.create_model(name, 10, **rj.models.options_from_timm(arguments, name))
    variables = rj.from_torch(model, net.state_dict())
    with torch.inference_mode():
        theirs = net(x)
    assert difference(model.apply(variables, nhwc(x)), theirs) <= TOLERANCE
    assert list(rj.to_torch(model, variables)) == list(net.state_dict())


def test_every_pretrained_network_is_a_row_of_the_table():
    architectures = {name.partition(".")[0] for name in timm_resnet.default_cfgs}
    weights = [
        f"{name}.{tag}" for name, cfgs in timm_resnet.default_cfgs.items() for tag in cfgs.cfgs
    ]
    assert architectures <= set(rj.VARIANTS)
    of_imagenet = {name for name, row in rj.VARIANTS.items() if row.num_classes == 1000}
    assert of_imagenet == {*NAMES, WITHOUT_FUNCTION}
    assert len(weights) >= 150


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name):
    with torch.device("meta"):
        assert rj.VARIANTS[name].parameters == parameters(create_model(name))


def test_the_network_without_a_function():
    row = rj.VARIANTS[WITHOUT_FUNCTION]
    with torch.device("meta"):
        net = timm_resnet.ResNet(timm_resnet.Bottleneck, row.layers, cardinality=32, base_width=48)
    assert row.parameters == parameters(net)
