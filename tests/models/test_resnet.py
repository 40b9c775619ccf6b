"""The network: features, options, and every bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj
from resnet_jax.models import PreactivationBasicBlock, PreactivationBottleneck


def tiny(block=rj.BasicBlock, **options):
    options = {"num_classes": 5, "base_planes": 8, **options}
    return rj.ResNet(block, (1, 1, 1, 1), **options)


def init(model, size=32, channels=3):
    return model.init(jax.random.key(0), jnp.zeros((1, size, size, channels)))


def images(count=4, size=32, channels=3):
    numbers = np.random.default_rng(1).standard_normal((count, size, size, channels), np.float32)
    return jnp.asarray(numbers)


def test_public_use():
    model = tiny()
    variables = init(model)
    assert set(variables) == {"params", "batch_stats"}
    logits, updates = model.apply(variables, images(), train=True, mutable=["batch_stats"])
    assert logits.shape == (4, 5)
    before, after = variables["batch_stats"], updates["batch_stats"]
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before, after)
    assert all(jax.tree.leaves(moved))
    # Evaluation is the default, and moves nothing.
    plain = model.apply(variables, images())
    np.testing.assert_array_equal(plain, model.apply(variables, images(), train=False))
    assert jnp.abs(plain - logits).max() > 1e-3


def test_features_have_the_strides_of_the_paper():
    model = tiny(rj.Bottleneck)
    features = model.apply(init(model), images(2, 64), method="features")
    assert {name: value.shape for name, value in features.items()} == {
        "stem": (2, 16, 16, 8),
        "layer1": (2, 16, 16, 32),
        "layer2": (2, 8, 8, 64),
        "layer3": (2, 4, 4, 128),
        "layer4": (2, 2, 2, 256),
        "pooled": (2, 256),
    }
    np.testing.assert_allclose(features["pooled"], features["layer4"].mean((1, 2)), rtol=1e-6)


def test_cifar_stem_keeps_the_resolution():
    model = tiny(stem="cifar")
    variables = init(model)
    assert variables["params"]["conv1"]["kernel"].shape == (3, 3, 3, 8)
    assert model.apply(variables, images(2), method="features")["stem"].shape == (2, 32, 32, 8)


@pytest.mark.parametrize(
    ("replace", "sizes"),
    [
        ((False, False, False), (8, 4, 2)),
        ((False, False, True), (8, 4, 4)),
        ((True, True, True), (16, 16, 16)),
    ],
)
def test_dilation_keeps_the_resolution_and_the_parameters(replace, sizes):
    model = tiny(rj.Bottleneck, replace_stride_with_dilation=replace)
    variables = init(model)
    features = model.apply(variables, images(1, 64), method="features")
    assert tuple(features[f"layer{stage}"].shape[1] for stage in (2, 3, 4)) == sizes
    plain = init(tiny(rj.Bottleneck))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, plain)


def test_first_block_of_a_dilated_stage_has_the_previous_dilation():
    """A pulse through layer4's first 3×3 convolution shows the distance of its taps."""
    model = rj.ResNet(
        rj.Bottleneck,
        (1, 1, 1, 2),
        num_classes=2,
        base_planes=8,
        replace_stride_with_dilation=(False, True, True),
    )
    bound = model.bind(init(model))
    assert [bound.layer3_0.dilation, bound.layer4_0.dilation, bound.layer4_1.dilation] == [1, 2, 4]


@pytest.mark.parametrize("block", [rj.BasicBlock, rj.Bottleneck])
def test_zero_init_residual_makes_each_block_its_shortcut(block):
    last = "bn2" if block is rj.BasicBlock else "bn3"
    params = init(tiny(block, zero_init_residual=True))["params"]
    for stage in range(1, 5):
        block_params = params[f"layer{stage}_0"]
        assert jnp.all(block_params[last]["scale"] == 0)
        assert jnp.all(block_params["bn1"]["scale"] == 1)


def test_bfloat16_computes_but_parameters_and_logits_are_float32():
    model = tiny(dtype=jnp.bfloat16)
    variables = init(model)
    logits, updates = model.apply(variables, images(), train=True, mutable=["batch_stats"])
    assert logits.dtype == jnp.float32
    features = model.apply(variables, images(), method="features")
    assert features["layer4"].dtype == jnp.bfloat16
    assert features["pooled"].dtype == jnp.float32
    for leaf in jax.tree.leaves((variables, updates)):
        assert leaf.dtype == jnp.float32
    exact = tiny().apply(variables, images())
    assert jnp.abs(model.apply(variables, images()) - exact).max() < 0.05 * jnp.abs(exact).max()


def test_remat_changes_nothing_but_memory():
    plain, remat = tiny(rj.Bottleneck), tiny(rj.Bottleneck, remat=True)
    variables = init(plain)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, init(remat))

    def gradient(model):
        def loss(params):
            logits, _ = model.apply(
                {**variables, "params": params}, images(), train=True, mutable=["batch_stats"]
            )
            return jnp.square(logits).mean()

        return jax.jit(jax.grad(loss))(variables["params"])

    for one, two in zip(
        jax.tree.leaves(gradient(plain)), jax.tree.leaves(gradient(remat)), strict=True
    ):
        assert np.linalg.norm(one - two) <= 1e-4 * np.linalg.norm(two)


def test_group_norm_instead_of_batch_norm():
    def norm(**options):
        return rj.GroupNorm(num_groups=4, **options)

    model = tiny(norm_layer=norm)
    variables = init(model)
    assert set(variables) == {"params"}
    one = model.apply(variables, images())
    np.testing.assert_array_equal(one, model.apply(variables, images(), train=True))


def test_one_class_and_one_channel_and_one_pixel():
    model = tiny(num_classes=1)
    variables = init(model, size=1, channels=1)
    assert model.apply(variables, images(3, 1, 1)).shape == (3, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, r"`num_classes` \(=0\) must be at least 1"),
        ({"base_planes": 0}, r"`base_planes` \(=0\) must be at least 1, or 4 such"),
        ({"base_planes": (8, 8, 8)}, r"`base_planes` \(=\(8, 8, 8\)\) must .* or 4 such"),
        ({"dropout": 1.0}, r"`dropout` \(=1.0\) must be at least 0 and below 1"),
        ({"dropout": float("nan")}, r"`dropout` \(=nan\) must be at least 0 and below 1"),
        ({"stem": "imagenette"}, r"`stem` \(='imagenette'\) must be one of imagenet, cifar, deep"),
        ({"stem": None}, r"`stem` \(=None\) must be one of imagenet, cifar, deep"),
        (
            {"replace_stride_with_dilation": (True, False)},
            r"must be None or have 3 entries, one for",
        ),
        (
            {"widths": (((8, 8),), ((16, 0),), ((32, 32),), ((64, 64),))},
            r"`widths` \(=.*\) must be at least 1",
        ),
        ({"groups": 2}, r"BasicBlock supports only `groups` \(=2\) = 1"),
        ({"width_per_group": 128}, r"`width_per_group` \(=128\) = 64"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize("layers", [(), (1, 0, 1), (1, 1, 1, 1, 1)])
def test_bad_layers(layers):
    with pytest.raises(ValueError, match=r"`layers` \(=\(.*\)\) must be one to four numbers"):
        rj.ResNet(rj.BasicBlock, layers)


def test_mistakes_with_fewer_stages():
    with pytest.raises(ValueError, match=r"\(=\(True, True, True\)\) .* have 1 entries"):
        rj.ResNet(rj.Bottleneck, (1, 1), replace_stride_with_dilation=(True, True, True))
    with pytest.raises(ValueError, match=r"`base_planes` .* or 2 such numbers"):
        rj.ResNet(rj.BasicBlock, (1, 1), base_planes=(8, 8, 8))
    with pytest.raises(ValueError, match=r"`block` .* one block or 2 of them"):
        rj.ResNet((rj.BasicBlock,) * 3, (1, 1))


@pytest.mark.parametrize(
    ("block", "options"),
    [
        (rj.Bottleneck, {"width_per_group": 4}),
        (rj.Bottleneck, {"reduce_first": 16}),
        (rj.BasicBlock, {"reduce_first": 16}),
        (PreactivationBasicBlock, {"reduce_first": 16}),
        (PreactivationBottleneck, {"width_per_group": 4}),
    ],
)
def test_convolutions_without_channels(block, options):
    with pytest.raises(
        ValueError, match=f"{block.__name__} has a convolution without channels, by"
    ):
        tiny(block, **options)


def test_numpy_numbers():
    """Which would overflow in what follows from them."""
    model = tiny(num_classes=np.uint8(200), base_planes=np.int8(64), groups=np.int64(1))
    same = tiny(num_classes=200, base_planes=64)
    assert type(model.num_classes) is type(model.groups) is int
    shapes = [jax.eval_shape(lambda network=network: init(network)) for network in (model, same)]
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, *shapes))


@pytest.mark.parametrize("name", ["num_classes", "base_planes"])
def test_numbers_that_are_not_whole(name):
    with pytest.raises(TypeError, match=rf"`{name}` \(=10.0\) must be a whole number"):
        tiny(**{name: 10.0})


def test_dilated_basic_block():
    with pytest.raises(NotImplementedError, match=r"does not support `dilation` \(=2\)"):
        tiny(replace_stride_with_dilation=(False, False, True))


@pytest.mark.parametrize("channels", [1, 4])
def test_wrong_channels(channels):
    model = tiny()
    with pytest.raises(ValueError, match=f"has {channels} channels .* made for 3"):
        model.apply(init(model), images(channels=channels))


def test_wrong_rank():
    model = tiny()
    with pytest.raises(ValueError, match=r"`x` has shape \(32, 32, 3\).*x\[None\]"):
        model.apply(init(model), images()[0])


def test_integer_images():
    model = tiny()
    with pytest.raises(TypeError, match="`x` has dtype uint8"):
        model.apply(init(model), jnp.zeros((1, 32, 32, 3), jnp.uint8))
