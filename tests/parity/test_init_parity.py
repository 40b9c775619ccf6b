"""A fresh model's weights have the distributions of torch's, tensor by tensor.

Every comparison is a test at level `LEVEL`; with fixed seeds its outcome is fixed too. Over the
tensors of a model the chance that a right initialiser would have been refused is below 1e-4.
"""

from functools import partial

import jax
import numpy as np
import pytest
from scipy import stats
from torch_twin import twin_of

import resnet_jax as rj
from resnet_jax.models import SqueezeExcite

LEVEL = 1e-7
SEEDS = range(6)

MODELS = {
    "basic": {"block": rj.BasicBlock, "layers": (2, 1, 1, 1)},
    "grouped bottleneck": {
        "block": rj.Bottleneck,
        "layers": (1, 1, 1, 1),
        "groups": 4,
        "width_per_group": 32,
    },
    "squeeze and excitation": {
        "block": rj.BasicBlock,
        "layers": (1, 1, 1, 1),
        "attention": partial(SqueezeExcite, ratio=0.5),
        "stem": "deep",
    },
    "channel attention": {"block": rj.BasicBlock, "layers": (1, 1, 1, 1), "attention": "eca"},
}


def fresh_tensors(model):
    """Our tensors and torch's by name, `[seeds, ...]`."""
    init = jax.jit(model.init)
    image = np.zeros((1, 32, 32, 3), np.float32)
    ours = [rj.to_torch(model, init(jax.random.key(seed), image)) for seed in SEEDS]
    theirs = [twin_of(model, seed=seed).state_dict() for seed in SEEDS]
    assert list(ours[0]) == list(theirs[0])
    return {
        name: (
            np.stack([state[name] for state in ours]),
            np.stack([state[name].numpy() for state in theirs]),
        )
        for name in theirs[0]
    }


def check_dense_bounds(tensors):
    for name in ("fc.weight", "fc.bias"):
        bound = tensors["fc.weight"][0].shape[-1] ** -0.5
        ours = tensors[name][0]
        assert 0.99 * bound <= ours.max() <= bound
        assert -bound <= ours.min() <= -0.99 * bound


@pytest.mark.parametrize("kind", MODELS)
def test_distributions(kind):
    model = rj.ResNet(num_classes=100, base_planes=32, **MODELS[kind])
    tensors = fresh_tensors(model)
    check_dense_bounds(tensors)
    for name, (ours, theirs) in tensors.items():
        of_attention = ".se." in name
        if ours.ndim < 4 and not name.startswith("fc.") and not of_attention:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
            continue
        a, b = ours.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
        # Means: Welch's test. Standard deviations: their logarithms differ by a normal variable
        # of variance (kurtosis - 1) / 2n, kurtosis 3 for a normal, 1.8 for a uniform one.
        assert stats.ttest_ind(a, b, equal_var=False).pvalue > LEVEL, name
        kurtosis = 1.8 if name.startswith("fc.") or (of_attention and ours.ndim < 5) else 3.0
        score = np.log(a.std() / b.std()) / np.sqrt((kurtosis - 1) / (2 * a.size))
        assert 2 * stats.norm.sf(abs(score)) > LEVEL, (name, a.std(), b.std())
        # The whole distribution: Kolmogorov and Smirnov's test.
        assert stats.ks_2samp(a, b).pvalue > LEVEL, name
        # Seeds differ, and so do layers of one shape.
        assert len({seed.tobytes() for seed in ours}) == len(SEEDS), name


@pytest.mark.parametrize("block", [rj.BasicBlock, rj.Bottleneck])
def test_zero_init_residual(block):
    model = rj.ResNet(block, (2, 1, 1, 1), 10, base_planes=4, zero_init_residual=True)

    @jax.jit
    def norms_alone(key):
        """The kernels' initialisers are not compiled where their results are not used."""
        variables = model.init(key, np.zeros((1, 32, 32, 3), np.float32))
        return jax.tree.map(lambda leaf: leaf if leaf.ndim == 1 else None, variables)

    ours = norms_alone(jax.random.key(0))
    last = "bn2" if block is rj.BasicBlock else "bn3"
    net = twin_of(model)
    for name, parameter in net.named_parameters():
        *modules, leaf = name.split(".")
        if parameter.ndim != 1 or modules == ["fc"]:
            continue
        node = ours["params"]
        if "downsample" in modules:
            modules[-1] = "bn"
        for module in ["_".join(modules[:2]), *modules[2:]] if len(modules) > 1 else modules:
            node = node[module]
        values = node["scale" if leaf == "weight" else "bias"]
        np.testing.assert_array_equal(values, parameter.detach().numpy(), err_msg=name)
        zero = leaf == "bias" or (len(modules) == 3 and modules[-1] == last)
        np.testing.assert_array_equal(values, 0.0 if zero else 1.0, err_msg=name)
