"""Networks with folded batch normalisations: the same logits, for every variant."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

import resnet_jax as rj
from resnet_jax.evaluation import FlipAveraged
from resnet_jax.models import (
    VARIANTS,
    BatchNorm,
    Conv,
    GroupNorm,
    PreactivationBlock,
    create_model,
    freeze_batch_norm,
    to_torch,
)

IMAGES = np.random.default_rng(0).standard_normal((3, 32, 32, 3), dtype=np.float32)
PARTIAL_GROUPS = partial(GroupNorm, num_groups=4)


def variables_of(model, images=IMAGES):
    """Random ones, with statistics and biases that are not 0 and 1."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), images[:1])
    generator = np.random.default_rng(1)

    def draw(path, leaf):
        values = generator.standard_normal(leaf.shape, dtype=np.float32)
        name = path[-1].key
        if name == "var":
            return np.exp(values / 4)
        return values * max(values[..., 0].size, 1) ** -0.5 + float(name == "scale")

    return jax.tree_util.tree_map_with_path(draw, shapes)


def tiny(name):
    """Make a variant with one block a stage and few channels, and its own parts."""
    row = VARIANTS[name]
    options = {"layers": (1,) * len(row.layers), "base_planes": 8}
    if row.groups > 1:
        options |= {"groups": 2, "width_per_group": 64}
    elif row.width_per_group > 64:
        options |= {"width_per_group": 128}
    if "widths" in row.options:
        options["widths"] = tuple(stage[:1] for stage in row.options["widths"])
    if row.options.get("norm_layer") is GroupNorm:
        options["norm_layer"] = PARTIAL_GROUPS
    return create_model(name, 5, **options)


def blocks_of(name):
    block = VARIANTS[name].block
    return block if isinstance(block, tuple | list) else (block,)


# Rows that differ in nothing but their size are one network here.
TINY = {repr(tiny(name)): name for name in reversed(VARIANTS)}
DILATED = {"replace_stride_with_dilation": (False, True, True)}
SMALL = {"layers": (1, 1), "num_classes": 5, "base_planes": 8}
OTHERS = {
    "dilated": rj.ResNet(rj.Bottleneck, (1, 1, 1, 1), 5, base_planes=8, **DILATED),
    "dilated and filtered": rj.ResNet(
        rj.Bottleneck, (1, 1, 1, 1), 5, base_planes=8, anti_alias="blur", **DILATED
    ),
    "option A": rj.ResNet(rj.BasicBlock, **SMALL, shortcut="pad", stem="cifar"),
    "frozen": freeze_batch_norm(rj.ResNet(rj.BasicBlock, **SMALL), ("stem", "layer1")),
    "remat": rj.ResNet(rj.BasicBlock, **SMALL, remat=True),
    "silu": rj.ResNet(rj.BasicBlock, **SMALL, act=nn.silu),
    "own epsilon": rj.ResNet(rj.BasicBlock, **SMALL, norm_layer=partial(BatchNorm, epsilon=0.1)),
    "mirror images": FlipAveraged(rj.ResNet(rj.BasicBlock, **SMALL)),
}


def compare(model, variables, images, fold=rj.fold_batch_norm):
    """Return the largest difference of the logits, relative to the largest logit."""

    # Compiled quickly, as each network is run once.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(variables, images):
        folded, fewer = fold(model, variables)
        return model.apply(variables, images, train=False), folded.apply(fewer, images)

    expected, found = (np.asarray(logits, np.float64) for logits in both(variables, images))
    assert np.abs(expected).max() > 1e-3
    return np.abs(found - expected).max() / np.abs(expected).max()


def check(model, images=IMAGES):
    variables = variables_of(model, images)
    assert compare(model, variables, images) < 1e-5
    return flatten_dict(rj.fold_batch_norm(model, variables)[1])


@pytest.mark.parametrize("name", TINY.values())
def test_every_variant(name):
    model = tiny(name)
    left = check(model)
    assert {path[0] for path in left} == {"params"}
    scales = {path[1:-1] for path in left if path[-1] == "scale"}
    if "GroupNorm_0" in str(scales):
        assert all(path[-1] == "GroupNorm_0" for path in scales)
    elif any(issubclass(block, PreactivationBlock) for block in blocks_of(name)):
        # Those that the residual sum lies before, and no convolution alone.
        expected = {"bn1", "final_bn"} if model.final_norm else {"bn1"}
        assert {path[-1] for path in scales} == expected
    else:
        assert not scales


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks(name):
    left = check(OTHERS[name])
    assert not [path for path in left if path[-1] in ("scale", "mean", "var")]
    assert ("params", "conv1", "bias") in left


class Around(nn.Module):
    """A module with a level of its own, which normalises images of one channel."""

    model: nn.Module

    @nn.compact
    def __call__(self, x, train=False):
        return self.model((x - 0.5) / 0.25, train)


def test_a_module_around_a_network_for_grey_images():
    left = check(Around(rj.ResNet(rj.BasicBlock, **SMALL)), IMAGES[..., :1])
    assert ("params", "model", "conv1", "bias") in left


class OwnBlock(rj.models.ResidualBlock):
    """Has normalisations that no convolution of their own lies before."""

    expansion = 1

    @nn.compact
    def __call__(self, x, train=False):
        x = self.make_norm("bn0")(x, train)
        y = Conv(self.planes, 3, self.stride, name="conv1")(x)
        y = y + self.make_norm("bn1")(y, train)
        shared = Conv(self.planes, 3, name="shared")
        y = self.make_norm("bn2")(shared(y), train) + self.make_norm("bn3")(shared(y), train)
        y = nn.Conv(self.planes, (3, 3), name="conv2")(y)
        y = self.make_norm("bn4")(y, train)
        return self.add_shortcut(nn.tanh(y), x, train)


def test_a_block_of_ones_own():
    left = check(rj.ResNet(OwnBlock, **SMALL))
    stay = {path[-2] for path in left if path[-1] == "scale"}
    assert stay == {"bn0", "bn1", "bn2", "bn3", "bn4"}
    assert ("params", "layer1_0", "bn1", "bias") in left
    assert ("params", "layer1_0", "conv1", "bias") not in left
    assert ("params", "layer2_0", "downsample", "conv", "bias") in left


MODEL = rj.ResNet(rj.BasicBlock, **SMALL)


@pytest.fixture(scope="module")
def variables():
    return variables_of(MODEL)


@pytest.fixture(scope="module")
def folded(variables):
    return rj.fold_batch_norm(MODEL, variables)


def test_features(variables, folded):
    network, fewer = folded
    expected = MODEL.apply(variables, IMAGES, method="features")
    found = network.apply(fewer, IMAGES, method="features")
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.abs(value).max())


def test_gradients(variables, folded):
    network, fewer = folded

    def gradient(model, variables):
        return jax.grad(lambda images: model.apply(variables, images).sum())(IMAGES)

    expected = gradient(MODEL, variables)
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(gradient(network, fewer), expected, rtol=0, atol=atol)


def test_gradients_through_folding(variables):
    def gradient(fold):
        def loss(scale):
            given = jax.tree.map(jnp.asarray, variables)
            given["params"]["layer1_0"]["bn1"]["scale"] = scale
            model, given = rj.fold_batch_norm(MODEL, given) if fold else (MODEL, given)
            return model.apply(given, IMAGES).sum()

        return jax.grad(loss)(jnp.asarray(variables["params"]["layer1_0"]["bn1"]["scale"]))

    expected = gradient(False)
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(gradient(True), expected, rtol=0, atol=atol)


def test_vmap_over_images_and_over_networks(variables, folded):
    network, fewer = folded
    expected = MODEL.apply(variables, IMAGES)
    one_by_one = jax.vmap(lambda image: network.apply(fewer, image[None])[0])(IMAGES)
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), fewer)
    twice = jax.vmap(network.apply, in_axes=(0, None))(two, IMAGES)
    for logits in (one_by_one, twice[0], twice[1]):
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_bfloat16_is_as_far_from_float32_as_without_folding(variables):
    exact = np.asarray(MODEL.apply(variables, IMAGES))
    half = MODEL.clone(dtype=jnp.bfloat16)
    network, fewer = rj.fold_batch_norm(half, variables)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(fewer))
    distances = [
        np.abs(np.asarray(model.apply(given, IMAGES)) - exact).max() / np.abs(exact).max()
        for model, given in ((half, variables), (network, fewer))
    ]
    assert network.apply(fewer, IMAGES, method="features")["layer1"].dtype == jnp.bfloat16
    assert distances[1] < max(2 * distances[0], 0.01)


def test_float64(variables):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), variables)
        images = jnp.asarray(IMAGES, jnp.float64)
        assert compare(MODEL, wide, images) < 1e-13
        network, fewer = rj.fold_batch_norm(MODEL, wide)
        assert network.apply(fewer, images).dtype == jnp.float64


def test_a_folded_network_is_for_evaluation_alone(folded):
    network, fewer = folded
    cannot = "a network with folded batch normalisations cannot be {}; use the one"
    with pytest.raises(ValueError, match=cannot.format("trained")):
        network.apply(fewer, IMAGES, train=True)
    with pytest.raises(ValueError, match=cannot.format("initialised")):
        network.init(jax.random.key(0), IMAGES)


def test_folding_twice(folded):
    with pytest.raises(ValueError, match="the batch normalisations of `model` are folded already"):
        rj.fold_batch_norm(*folded)


def test_variables_that_are_not_all(variables, folded):
    params, statistics = variables["params"], variables["batch_stats"]
    for given, message in (
        ({"params": params}, r"`variables` must have batch_stats/\w+/mean, as `model.init` makes"),
        (params, "`variables` must have the collection `params`, not only"),
        (folded[1] | {"batch_stats": statistics}, r"`variables` must have params/\w+/scale, as"),
    ):
        with pytest.raises(ValueError, match=message):
            rj.fold_batch_norm(MODEL, given)


def test_variables_and_network_must_belong_together(variables, folded):
    network, fewer = folded
    with pytest.raises(ValueError, match="must be those that `fold_batch_norm` returned; these"):
        network.apply(variables, IMAGES)
    with pytest.raises(rj.WeightsError, match=r"missing: .*bn"):
        to_torch(MODEL, fewer)


def test_a_folded_network_is_not_saved(folded, tmp_path):
    network, fewer = folded
    cannot = "a network with folded batch normalisations has no form in torch; use the one"
    with pytest.raises(rj.WeightsError, match=cannot):
        to_torch(network, fewer)
    with pytest.raises(rj.WeightsError, match=cannot):
        rj.save_weights(tmp_path / "model.safetensors", network, fewer)
    transform = rj.ImageTransform(resize=36, crop=32)
    with pytest.raises(ValueError, match=cannot):
        rj.save_pretrained(tmp_path / "folder", network, fewer, transform=transform)
    assert not list(tmp_path.iterdir())
