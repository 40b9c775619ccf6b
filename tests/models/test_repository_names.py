"""Weights with the names that torch repositories for CIFAR give them."""

import re

import jax
import numpy as np
import pytest
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import (
    Conv,
    PreactivationBasicBlock,
    PreactivationBottleneck,
    ResidualBlock,
)

torch = pytest.importorskip("torch")


def numbers(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)


def tensors(model, variables, *rules):
    """Return the state dict with its names changed by rules, and the counters of torch."""
    found = {}
    for name, value in rj.to_torch(model, variables).items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = torch.tensor(value)
    return found


LINEAR = (r"^fc\.", "linear.")
SHORTCUT = (r"\.downsample\.", ".shortcut.")
WIDE = (
    (r"^layer(\d)\.", r"block\1.layer."),
    (r"\.downsample\.0\.", ".convShortcut."),
    (r"^final_bn\.", "bn1."),
)


def place(found):
    kind, number = found[1], int(found[2]) - 1
    return f".residual_function.{3 * number + (kind == 'bn')}."


SEQUENTIAL = (
    SHORTCUT,
    (r"(?<=\d)\.(conv|bn)(\d)\.", place),
    (r"^conv1\.", "conv1.0."),
    (r"^bn1\.", "conv1.1."),
    (r"^layer(\d)\.", lambda found: f"conv{int(found[1]) + 1}_x."),
)
SMALL = {"base_planes": 8}
MODELS = {
    "option A, linear": (rj.resnet20(**SMALL, layers=(1, 1, 1)), (LINEAR,)),
    "option B, linear and shortcut": (
        rj.resnet20(**SMALL, layers=(1, 1, 1), shortcut="projection"),
        (LINEAR, SHORTCUT),
    ),
    "option B, fc and downsample": (rj.resnet20(**SMALL, shortcut="projection"), ()),
    "plain": (rj.resnet18(10, **SMALL, stem="cifar", layers=(1, 1, 1, 1)), (LINEAR, SHORTCUT)),
    "pre-activated": (rj.preact_resnet18(**SMALL), (LINEAR, SHORTCUT)),
    "pre-activated bottleneck": (
        rj.preact_resnet50(**SMALL, layers=(1, 1, 1, 1)),
        (LINEAR, SHORTCUT),
    ),
    "wide": (rj.wide_resnet16_8(**SMALL), WIDE),
    "sequential": (rj.resnet18(100, **SMALL, stem="cifar"), SEQUENTIAL),
    "sequential bottleneck": (
        rj.resnet50(100, **SMALL, stem="cifar", layers=(1, 1, 1, 1)),
        SEQUENTIAL,
    ),
}
FILES = {
    "net.pt": lambda net: net,
    "resnet20-12fca82f.th": lambda net: {
        "state_dict": {f"module.{name}": value for name, value in net.items()},
        "best_prec1": 91.7,
    },
    "ckpt.pth": lambda net: {
        "net": {f"module.{name}": value for name, value in net.items()},
        "acc": 95.1,
        "epoch": 199,
    },
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", MODELS)
def test_load_weights(kind, file, tmp_path):
    model, rules = MODELS[kind]
    variables = numbers(model)
    net = tensors(model, variables, *rules)
    assert not rules or net.keys() != rj.to_torch(model, variables).keys()
    torch.save(FILES[file](net), tmp_path / file)
    jax.tree.map(np.testing.assert_array_equal, rj.load_weights(model, tmp_path / file), variables)


def test_torchvisions_names_come_back():
    names = list(rj.to_torch(model := rj.wide_resnet16_8(**SMALL), numbers(model)))
    assert names[:2] == ["conv1.weight", "layer1.0.bn1.weight"]
    assert "layer2.0.downsample.0.weight" in names
    assert next(name for name in names if name.startswith("final_bn")) == "final_bn.weight"
    assert names[-2:] == ["fc.weight", "fc.bias"]


def test_projections_for_a_network_without_them():
    model = rj.resnet20(**SMALL)
    projecting = model.clone(shortcut="projection")
    net = tensors(projecting, numbers(projecting), LINEAR, SHORTCUT)
    with pytest.raises(rj.WeightsError, match=r'shortcut="projection" makes a network with'):
        rj.from_torch(model, net)


def test_a_second_head_is_not_taken_for_the_head():
    model = rj.resnet20(**SMALL)
    net = tensors(model, numbers(model))
    net["linear.weight"] = torch.zeros_like(net["fc.weight"])
    with pytest.raises(rj.WeightsError, match=r"unexpected: linear.weight"):
        rj.from_torch(model, net)


class OwnBlock(ResidualBlock):
    """A block that has the word of a repository among its names."""

    expansion = 1

    @nn.compact
    def __call__(self, x, train=False):
        y = Conv(self.planes, 3, self.stride, name="conv1")(x)
        return y + Conv(self.planes, 1, self.stride, name="shortcut_0")(x)


def test_words_of_the_models_own_are_kept():
    model = rj.ResNet(OwnBlock, (1, 1), 3, base_planes=8)
    variables = numbers(model)
    net = tensors(model, variables)
    assert "layer1.0.shortcut.0.weight" in net
    jax.tree.map(np.testing.assert_array_equal, rj.from_torch(model, net), variables)


@pytest.mark.parametrize("block", [PreactivationBasicBlock, PreactivationBottleneck])
def test_a_new_head(block):
    model = rj.ResNet(block, (1, 1), 5, base_planes=8, stem="cifar_preact", final_norm=True)
    variables = numbers(model)
    net = tensors(model, variables, LINEAR, SHORTCUT)
    other = model.clone(num_classes=7)
    read = rj.from_torch(other, net, head="reinit")
    np.testing.assert_array_equal(
        read["params"]["final_bn"]["scale"], variables["params"]["final_bn"]["scale"]
    )
    assert read["params"]["fc"]["bias"].shape == (7,)
