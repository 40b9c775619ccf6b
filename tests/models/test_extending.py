"""A block and a stem from outside the library: one class each, and one argument or row."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import (
    STEMS,
    Conv,
    ResidualBlock,
    image_channels,
    stage_of,
    stages_up_to,
)


class SEBasicBlock(ResidualBlock):
    """Squeeze and excitation (Hu et al. 2017) after the last normalisation."""

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x, train=False):
        y = Conv(self.planes, 3, self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(self.make_norm("bn1")(y, train))
        y = Conv(self.planes, 3, dtype=self.dtype, name="conv2")(y)
        y = self.make_norm("bn2", last=True)(y, train)
        gate = y.mean((1, 2), keepdims=True)
        gate = nn.relu(nn.Conv(4, (1, 1), dtype=self.dtype, name="se_fc_1")(gate))
        gate = nn.Conv(self.planes, (1, 1), dtype=self.dtype, name="se_fc_2")(gate)
        return nn.relu(self.add_shortcut(y * nn.sigmoid(gate), x, train))


class PlainBlock(nn.Module):
    """A block with nothing but the documented fields, without normalisation."""

    planes: int
    stride: int = 1
    groups: int = 1
    base_width: int = 64
    dilation: int = 1
    zero_init_residual: bool = False
    norm_layer: Any = None
    dtype: Any = None
    axis_name: str | None = None

    expansion: ClassVar[int] = 2

    @nn.compact
    def __call__(self, x, train=False):
        return nn.relu(Conv(2 * self.planes, 3, self.stride, dtype=self.dtype, name="conv1")(x))


class DeepStem(nn.Module):
    """Three 3×3 convolutions in place of the 7×7 one, with timm's names: `conv1.0`, `conv1.1` …."""

    planes: int
    norm_layer: Any
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x, train=False):
        def norm(name):
            return self.norm_layer(
                scale_init=nn.initializers.ones,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name=name,
            )

        narrow = self.planes // 2
        x = Conv(narrow, 3, 2, dtype=self.dtype, name="conv1_0")(x)
        x = nn.relu(norm("conv1_1")(x, train))
        x = Conv(narrow, 3, dtype=self.dtype, name="conv1_3")(x)
        x = nn.relu(norm("conv1_4")(x, train))
        x = Conv(self.planes, 3, dtype=self.dtype, name="conv1_6")(x)
        return nn.relu(norm("bn1")(x, train))


class PooledDownsample(nn.Module):
    """Average pooling before an unstrided projection: `downsample.1` and `.2` in torch."""

    features: int
    stride: int
    norm_layer: Any
    dtype: Any
    axis_name: str | None

    @nn.compact
    def __call__(self, x, train=False):
        window = (self.stride, self.stride)
        x = nn.avg_pool(x, window, window)
        x = Conv(self.features, 1, dtype=self.dtype, name="1")(x)
        norm = self.norm_layer(
            scale_init=nn.initializers.ones, dtype=self.dtype, axis_name=self.axis_name, name="2"
        )
        return norm(x, train)


class PooledBlock(rj.BasicBlock):
    shortcut: Any = PooledDownsample


MODELS = {
    "SE and deep stem": {"block": SEBasicBlock, "stem": DeepStem},
    "deep stem and group norm": {
        "block": rj.Bottleneck,
        "stem": DeepStem,
        "norm_layer": lambda **options: rj.GroupNorm(num_groups=2, **options),
    },
    "the documented fields alone": {"block": PlainBlock, "remat": True},
    "pooled shortcut": {"block": PooledBlock, "stem": "cifar"},
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return rj.ResNet(**MODELS[request.param], layers=(1, 1, 1, 1), num_classes=3, base_planes=8)


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (2, 32, 32, 1))


@pytest.fixture(scope="module")
def variables(model, images):
    return jax.jit(model.init)(jax.random.key(0), images)


def test_features_and_logits(model, variables, images):
    @jax.jit
    def apply(variables, images):
        features = model.apply(variables, images, method="features")
        return features, model.apply(variables, images)

    features, logits = apply(variables, images)
    width = 8 * model.block.expansion
    side = features["stem"].shape[1]
    assert {name: value.shape[1:] for name, value in features.items()} == {
        "stem": (side, side, 8),
        **{f"layer{1 + i}": (side >> i, side >> i, width << i) for i in range(4)},
        "pooled": (8 * width,),
    }
    head = jax.tree.map(np.asarray, variables["params"]["fc"])
    expected = np.asarray(features["pooled"]) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_has_a_gradient(model, variables, images):
    def loss(params):
        logits, updates = model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        return jnp.square(logits - 1).sum(), updates

    gradients, updates = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert jnp.abs(gradient).max() > 0, jax.tree_util.keystr(path)
    before = variables.get("batch_stats", {})
    assert jax.tree.structure(updates.get("batch_stats", {})) == jax.tree.structure(before)


def test_weights_go_to_torch_and_back(model, variables):
    rng = np.random.default_rng(0)
    numbers = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), variables)
    state_dict = rj.to_torch(model, numbers)
    jax.tree.map(np.testing.assert_array_equal, rj.from_torch(model, state_dict), numbers)
    assert image_channels(model, numbers) == 1


def test_every_part_has_a_stage(model, variables):
    stages = {stage_of(name) for name in variables["params"]}
    assert stages == {*stages_up_to("layer4"), "head"}


def names_of(block, stem="imagenet", **options):
    model = rj.ResNet(block, (1, 1, 1, 1), num_classes=3, base_planes=8, stem=stem, **options)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    state_dict = rj.to_torch(model, zeros)
    return [name.removesuffix(".weight") for name in state_dict if name.endswith(".weight")]


@pytest.mark.parametrize("remat", [False, True])
def test_names_in_torch_follow_from_those_of_the_modules(remat):
    names = names_of(SEBasicBlock, DeepStem, remat=remat)
    assert names[:6] == ["conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1"]
    modules = ("conv1", "bn1", "conv2", "bn2", "se_fc.1", "se_fc.2")
    assert names[6:12] == [f"layer1.0.{module}" for module in modules]
    assert names[18:20] == ["layer2.0.downsample.0", "layer2.0.downsample.1"]
    pooled = [name for name in names_of(PooledBlock, remat=remat) if "downsample" in name]
    assert pooled[:2] == ["layer2.0.downsample.1", "layer2.0.downsample.2"]


def test_two_variables_must_not_have_one_name():
    class Twice(PlainBlock):
        @nn.compact
        def __call__(self, x, train=False):
            width = 2 * self.planes
            x = Conv(width, 1, name="conv_1")(x)
            options = {"norm_layer": self.norm_layer, "dtype": None, "axis_name": None}
            return PooledDownsample(width, self.stride, **options, name="conv")(x, train)

    with pytest.raises(
        rj.WeightsError,
        match=r"`params/layer1_0/conv_1/kernel` and `params/layer1_0/conv/1/kernel`",
    ):
        names_of(Twice)


def test_a_row_of_the_table_and_what_it_holds_are_the_same():
    for name, stem in STEMS.items():
        by_name, by_class = (
            rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), 3, base_planes=8, stem=choice)
            for choice in (name, stem)
        )
        image = jnp.zeros((1, 32, 32, 3))
        shapes = [jax.eval_shape(m.init, jax.random.key(0), image) for m in (by_name, by_class)]
        assert shapes[0] == shapes[1]
