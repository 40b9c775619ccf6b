"""Parts beyond torchvision's: attention, low-pass filters, stems, shortcuts, and one's own."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import (
    AverageDownsample,
    AveragePool,
    BlurPool,
    DeepStem,
    EfficientChannelAttention,
    SqueezeExcite,
    image_channels,
)

EVERYTHING = {
    "stem": "deep_tiered",
    "shortcut": "average",
    "attention": "se",
    "anti_alias": "blur",
    "act": nn.silu,
}


def tiny(block=rj.Bottleneck, **options):
    return rj.ResNet(block, (1, 1, 1, 1), **{"num_classes": 3, "base_planes": 8, **options})


def init(model, size=32, channels=3):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, size, size, channels)))


@pytest.fixture(scope="module")
def variables():
    return init(tiny(rj.BasicBlock, **EVERYTHING))


def normal(*shape):
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape, np.float32))


def test_blur_is_the_binomial_filter():
    pulse = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(16.0)
    blurred = BlurPool(stride=1).apply({}, pulse)[0, 1:4, 1:4, 0]
    np.testing.assert_array_equal(blurred, [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    pulse = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(256.0)
    wide = BlurPool(stride=1, size=5).apply({}, pulse)[0, 2:7, 2:7, 0]
    np.testing.assert_array_equal(wide, np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]))


@pytest.mark.parametrize("size", [(7, 5), (6, 8), (2, 1)])
def test_blur_keeps_constants_at_reflected_borders(size):
    x = jnp.full((2, *size, 3), 1.5, jnp.bfloat16)
    y = BlurPool().apply({}, x)
    assert (y.shape, y.dtype) == ((2, -(-size[0] // 2), -(-size[1] // 2), 3), jnp.bfloat16)
    np.testing.assert_array_equal(y.astype(jnp.float32), 1.5)


def test_average_pool_leaves_out_the_incomplete_window():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(AveragePool().apply({}, x)[0, :, :, 0], [[3, 5]])
    with pytest.raises(ValueError, match="needs maps of at least 2 x 2 pixels"):
        AveragePool().apply({}, x[:, :1])


def test_the_average_shortcut_has_the_mean_of_the_pixels_there_are():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    shortcut = AverageDownsample(features=1, stride=2)
    variables = shortcut.init(jax.random.key(0), x)
    assert list(variables["params"]) == ["1", "2"]
    kernel = jnp.ones_like(variables["params"]["1"]["kernel"])
    variables = {**variables, "params": {**variables["params"], "1": {"kernel": kernel}}}
    expected = np.array([[3, 5, 6.5], [10.5, 12.5, 14]]) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(shortcut.apply(variables, x)[0, :, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "ratio", "inner"),
    [(64, 1 / 16, 8), (256, 1 / 16, 16), (64, 0.25, 16), (320, 1 / 16, 24), (100, 0.25, 24)],
)
def test_inner_width_of_squeeze_and_excitation(channels, ratio, inner):
    module = SqueezeExcite(channels, ratio)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 2, 2, channels)))
    assert shapes["params"]["fc1"]["kernel"].shape == (1, 1, channels, inner)
    assert shapes["params"]["fc2"]["bias"].shape == (channels,)


@pytest.mark.parametrize(
    ("channels", "taps"), [(16, 3), (64, 3), (128, 5), (256, 5), (1024, 5), (2048, 7)]
)
def test_taps_of_efficient_channel_attention(channels, taps):
    module = EfficientChannelAttention(channels)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 2, 2, channels)))
    assert shapes["params"]["conv"]["kernel"].shape == (taps, 1, 1)


def test_bfloat16_computes_but_parameters_and_logits_are_float32(variables):
    model = tiny(rj.BasicBlock, **EVERYTHING, dtype=jnp.bfloat16)
    x = normal(4, 32, 32, 3)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))

    @jax.jit
    def apply(variables, x):
        return model.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])

    logits, state = apply(variables, x)
    assert logits.dtype == jnp.float32
    parts = state["intermediates"]["layer2_0"]
    for name in ("se", "aa", "downsample"):
        assert parts[name]["__call__"][0].dtype == jnp.bfloat16, name
    exact = jax.jit(model.clone(dtype=None).apply)(variables, x)
    assert jnp.abs(logits - exact).max() < 0.1 * jnp.abs(exact).max()


@pytest.mark.parametrize("module", [SqueezeExcite(16), EfficientChannelAttention(16)])
def test_the_gate_has_the_dtype_of_the_branch(module):
    x = normal(2, 3, 3, 16)
    variables = module.init(jax.random.key(0), x)
    low = module.apply(variables, x.astype(jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low, module.apply(variables, x), rtol=0.05, atol=0.05)


def test_remat_changes_nothing(variables):
    def gradient(model, x):
        def loss(params):
            logits, _ = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.square(logits).mean()

        return jax.jit(jax.grad(loss))(variables["params"])

    model, x = tiny(rj.BasicBlock, **EVERYTHING), normal(4, 32, 32, 3)
    pairs = zip(
        jax.tree.leaves(gradient(model, x)),
        jax.tree.leaves(gradient(model.clone(remat=True), x)),
        strict=True,
    )
    for one, two in pairs:
        assert np.linalg.norm(one - two) <= 1e-3 * np.linalg.norm(one)


def test_a_mapped_axis_shares_the_statistics_of_every_normalisation(variables):
    model, x = tiny(rj.BasicBlock, **EVERYTHING), normal(4, 32, 32, 3)

    def train(model, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    logits, statistics = jax.jit(partial(train, model))(x)
    mapped = jax.vmap(partial(train, model.clone(axis_name="batch")), axis_name="batch")
    parts, shared = jax.jit(mapped)(x.reshape(2, 2, 32, 32, 3))
    np.testing.assert_allclose(parts.reshape(4, 3), logits, rtol=1e-3, atol=1e-4)
    for one, two in zip(jax.tree.leaves(statistics), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(two[0], one, rtol=1e-3, atol=1e-5)


def test_zero_init_residual_zeroes_the_last_scale():
    model = tiny(rj.BasicBlock, **EVERYTHING, zero_init_residual=True)

    @jax.jit
    def scales(key):
        params = model.init(key, jnp.zeros((1, 32, 32, 3)))["params"]
        return [
            [params[f"layer{stage}_0"][norm]["scale"] for norm in ("bn1", "bn2")]
            for stage in range(1, 5)
        ]

    for first, last in scales(jax.random.key(0)):
        assert (first == 1).all()
        assert (last == 0).all()


def test_the_channels_of_the_images_are_those_of_the_first_convolution():
    model = tiny(**EVERYTHING)
    image = jnp.zeros((1, 32, 32, 5))
    assert image_channels(model, jax.eval_shape(model.init, jax.random.key(0), image)) == 5


class Halve(nn.Module):
    """An attention of one's own."""

    channels: int
    dtype: Any = None

    def __call__(self, x):
        assert x.shape[-1] == self.channels
        return x / 2


class Pick(nn.Module):
    """A filter of one's own: the first pixel of each window."""

    stride: int

    def __call__(self, x):
        return x[:, :: self.stride, :: self.stride]


def test_parts_of_ones_own():
    model = tiny(rj.BasicBlock, attention=Halve, anti_alias=Pick, act=jnp.tanh, stem="cifar")
    features, _ = jax.jit(partial(model.init_with_output, method="features"))(
        jax.random.key(0), normal(1, 32, 32, 3)
    )
    assert features["layer4"].shape == (1, 4, 4, 64)
    assert jnp.abs(features["layer4"]).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "cbam"}, r"`attention` \(='cbam'\) must be one of se, eca$"),
        ({"anti_alias": "lanczos"}, r"`anti_alias` \(='lanczos'\) must be one of blur, average$"),
        ({"shortcut": "none"}, r"`shortcut` \(='none'\) must be one of projection, average"),
        ({"reduce_first": 0}, r"`reduce_first` \(=0\) must be at least 1"),
        ({"base_planes": (8, 16)}, r"`base_planes` .* at least 1, or 4 such numbers"),
        ({"block": (rj.BasicBlock,) * 3}, r"`block` .* must be one block or 4 of them"),
        ({"widths": [[(4, 4, 8)]]}, r"`widths` must have the channels of \[1, 1, 1, 1\] blocks"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": False}, r"`pool` \(=False\) must be one of 'max', 'average', 'conv', None"),
        ({"width": 2, "tiered": True}, r"`width` \(=2\) and `planes` \(=8\) give .* 0, 2, 4 chann"),
    ],
)
def test_bad_stems(options, message):
    with pytest.raises(ValueError, match=message):
        DeepStem(planes=8, **options)
