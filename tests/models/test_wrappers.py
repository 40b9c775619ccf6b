"""What training scripts put around a network: entries, prefixes, other names, other files."""

import argparse
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_jax as rj

torch = pytest.importorskip("torch")


def numbers(model, seed):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def model():
    return rj.ResNet(rj.Bottleneck, (2, 1, 1, 1), 5, base_planes=8)


@pytest.fixture(scope="module")
def variables(model):
    return numbers(model, 0)


@pytest.fixture(scope="module")
def plain(model, variables):
    return {name: torch.tensor(value) for name, value in rj.to_torch(model, variables).items()}


@pytest.fixture(scope="module")
def average(model):
    """Another network of the same names."""
    return {n: torch.tensor(v) for n, v in rj.to_torch(model, numbers(model, 1)).items()}


def under(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "resnet_jax"]


WRAPPED = {
    "ddp": lambda net, _: under("module.", net),
    "compiled": lambda net, _: under("_orig_mod.", net),
    "ddp in a checkpoint": lambda net, _: {
        "epoch": 3,
        "arch": "resnet50",
        "state_dict": under("module.", net),
        "optimizer": {"state": {0: {"momentum_buffer": net["fc.weight"]}}, "param_groups": []},
        "args": argparse.Namespace(lr=0.1, data="/data"),
    },
    "lightning": lambda net, _: {
        "pytorch-lightning_version": "2.5",
        "state_dict": under("model.", net) | {"loss.weight": torch.ones(5)},
        "hyper_parameters": {"lr": 0.1},
    },
    "lightning net": lambda net, _: {"state_dict": under("net.", net)},
    "backbone": lambda net, _: under("backbone.", net),
    "encoder": lambda net, _: under("encoder.", net),
    "moco": lambda net, other: {
        "state_dict": under("module.encoder_q.", net)
        | under("module.encoder_k.", other)
        | {"module.queue": torch.zeros(4, 8), "module.queue_ptr": torch.zeros(1)}
    },
    "swa": lambda net, _: under("module.", net) | {"n_averaged": torch.tensor(4)},
    "timm": lambda net, other: {"state_dict": net, "state_dict_ema": other, "version": 2},
    "ema beside": lambda net, other: {"model": net, "model_ema": other},
    "ema within": lambda net, other: under("model.", net) | under("ema.module.", other),
    "ema alone": lambda net, _: {"ema_state_dict": under("module.", net)},
    "entry of an entry": lambda net, _: {"ema": {"decay": 0.9, "shadow": net}},
    "teacher": lambda net, other: {"student": under("backbone.", net), "teacher": other},
    "usual entry": lambda net, _: {"model_state_dict": net},
    "half": lambda net, _: {n: v.half() if v.is_floating_point() else v for n, v in net.items()},
}
SAYS = {
    "ddp": ["begin with `module.`"],
    "lightning": ["entry `state_dict`", "begin with `model.`", "passed over: `loss.weight`"],
    "moco": [
        "entry `state_dict`",
        "begin with `module.encoder_q.`",
        "key='state_dict', prefix='module.encoder_k.' takes it",
        r"passed over: `module.encoder_k.* and \d+ more",
    ],
    "swa": ["begin with `module.`", "passed over: `n_averaged`"],
    "timm": ["entry `state_dict`", "key='state_dict_ema' takes it"],
    "ema alone": ["entry `ema_state_dict`", "begin with `module.`"],
    "entry of an entry": ["entry `ema/shadow`"],
    "half": [],
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_the_network_is_found(model, variables, plain, average, wrapper, tmp_path, caplog):
    checkpoint = WRAPPED[wrapper](plain, average)
    path = tmp_path / "checkpoint.PTH.tar"
    torch.save(checkpoint, path)
    with caplog.at_level(logging.INFO, "resnet_jax"):
        read = rj.load_weights(model, path)
    if wrapper == "half":
        variables = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), variables)
    assert_same(read, variables)
    assert_same(rj.from_torch(model, checkpoint), variables)
    lines = said(caplog)
    if wrapper in SAYS:
        for line, pattern in zip(lines, SAYS[wrapper], strict=True):
            assert re.search(pattern, line)


@pytest.mark.parametrize(
    ("wrapper", "arguments"),
    [
        ("moco", {"prefix": "module.encoder_k."}),
        ("moco", {"key": "state_dict", "prefix": "module.encoder_k"}),
        ("timm", {"key": "state_dict_ema"}),
        ("ema within", {"prefix": "ema.module."}),
        ("teacher", {"key": "teacher"}),
    ],
)
def test_another_one_is_chosen_by_hand(model, plain, average, wrapper, arguments):
    read = rj.from_torch(model, WRAPPED[wrapper](plain, average), **arguments)
    assert_same(read, numbers(model, 1))


def test_two_networks_are_no_guess(model, plain, average):
    with pytest.raises(rj.WeightsError) as caught:
        rj.from_torch(model, {"first": plain, "second": average})
    assert str(caught.value) == (
        "the checkpoint holds 2 such networks; choose by key='first'; key='second'"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": "ema"}, r"`key` \(='ema'\) is no entry .*; its entries with names are `state_d"),
        ({"prefix": "net"}, r"no name begins with `prefix` \(='net.'\).* begin with `module.`"),
    ],
)
def test_what_is_not_there(model, plain, arguments, message):
    with pytest.raises(rj.WeightsError, match=message):
        rj.from_torch(model, {"state_dict": under("module.", plain)}, **arguments)


def test_a_random_key_is_no_entry(model, plain, tmp_path):
    with pytest.raises(TypeError, match="`head_key`"):
        rj.from_torch(model, plain, head="reinit", key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"`prefix` \(=3\) must be"):
        rj.from_torch(model, plain, prefix=3)
    with pytest.raises(TypeError, match="`head_key`"):
        rj.load_weights(model, tmp_path / "none.pth", key=jax.random.key(0))


def test_a_backbone_without_a_head(model, plain):
    """A network of self-supervised learning, whose head is another."""
    body = {n: v for n, v in plain.items() if not n.startswith("fc.")}
    checkpoint = under("backbone.", body) | {"head.0.weight": torch.ones(3)}
    with pytest.raises(rj.WeightsError, match=r"missing: fc\.bias, fc\.weight.*head=\"reinit\""):
        rj.from_torch(model, checkpoint)
    read = rj.from_torch(model, checkpoint, head="reinit")
    np.testing.assert_array_equal(
        read["params"]["layer2_0"]["conv1"]["kernel"],
        plain["layer2.0.conv1.weight"].numpy().transpose(2, 3, 1, 0),
    )


def of_transformers(name):
    """Return transformers' name of a tensor, written out for the network of this file."""
    module, _, leaf = name.rpartition(".")
    stem = {"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization"}
    if module == "fc":
        return f"classifier.1.{leaf}"
    if module in stem:
        return f"resnet.{stem[module]}.{leaf}"
    stage, block, inner = re.fullmatch(r"layer(\d)\.(\d)\.(.+)", module).groups()
    inner = {
        "downsample.0": "shortcut.convolution",
        "downsample.1": "shortcut.normalization",
        **{f"conv{at + 1}": f"layer.{at}.convolution" for at in range(3)},
        **{f"bn{at + 1}": f"layer.{at}.normalization" for at in range(3)},
    }[inner]
    return f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}.{inner}.{leaf}"


@pytest.mark.parametrize("outer", ["", "model."])
def test_names_of_transformers(model, variables, plain, outer):
    renamed = {outer + of_transformers(name): value for name, value in plain.items()}
    assert "resnet.encoder.stages.3.layers.0.layer.2.convolution.weight" in str(list(renamed))
    assert_same(rj.from_torch(model, renamed), variables)
    base = {n.replace("resnet.", ""): v for n, v in renamed.items() if "classifier" not in n}
    read = rj.from_torch(model, base, head="reinit")
    assert_same(read["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("name", ["model.bin", "model.pth", "weights", "MODEL.SAFETENSORS"])
def test_the_content_decides(model, variables, plain, tmp_path, name):
    save_file({n: v.numpy() for n, v in plain.items()}, tmp_path / name)
    assert_same(rj.load_weights(model, tmp_path / name), variables)
    torch.save(plain, tmp_path / name)
    assert_same(rj.load_weights(model, tmp_path / name), variables)
    torch.save(plain, tmp_path / name, _use_new_zipfile_serialization=False)
    assert_same(rj.load_weights(model, tmp_path / name), variables)


def test_bfloat16_in_safetensors(model, plain, tmp_path):
    from safetensors.torch import save_file as save

    half = {n: v.bfloat16() if v.is_floating_point() else v for n, v in plain.items()}
    save(half, tmp_path / "model.safetensors")
    read = rj.load_weights(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read["params"]["fc"]["bias"], half["fc.bias"].float().numpy())
