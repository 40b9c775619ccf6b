"""Networks as ONNX: equal logits in another program, with every part that a variant may have."""

import functools
import json
import re
from collections import Counter

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

import resnet_jax as rj
from resnet_jax.evaluation import FlipAveraged, to_onnx
from resnet_jax.models import VARIANTS, GroupNorm, create_model, fold_batch_norm

TINY = {"layers": (1, 1, 1, 1), "base_planes": 8}
GROUPED = {"groups": 4, "width_per_group": 16}
IMAGES = np.random.default_rng(0).standard_normal((5, 33, 33, 3), dtype=np.float32)


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


def run(data, images):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def operations(data):
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


def check(model, *, fold=False, images=IMAGES):
    variables = variables_of(model, images)
    expected = np.asarray(jax.jit(model.apply)(variables, images))
    data = to_onnx(
        model, variables, transform=None, image_shape=images.shape[1:], fold_batch_norm=fold
    )
    for count in (1, 5):
        result = run(data, images[:count].transpose(0, 3, 1, 2))
        difference = np.abs(result - expected[:count]).max()
        assert difference <= 1e-4 * np.abs(expected).max()
    return operations(data)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("block", ["basic", "grouped"])
def test_logits(block, fold):
    if block == "basic":
        model = rj.ResNet(rj.BasicBlock, num_classes=6, **TINY)
        convolutions = 12
    else:
        model = rj.ResNet(rj.Bottleneck, num_classes=6, **TINY, **GROUPED)
        convolutions = 17
    found = check(model, fold=fold)
    assert found["Conv"] == convolutions
    assert found["BatchNormalization"] == (0 if fold else convolutions)
    assert found["Transpose"] == 0
    assert found["MaxPool"] == found["ReduceMean"] == found["MatMul"] == 1


PARTS = {
    "se": {"attention": "se"},
    "eca": {"attention": "eca"},
    "blur": {"anti_alias": "blur"},
    "average": {"anti_alias": "average"},
    "average shortcut": {"shortcut": "average"},
    "group norm": {"norm_layer": functools.partial(GroupNorm, num_groups=4)},
    "dilation": {"replace_stride_with_dilation": (False, True, True), "shortcut": "average"},
    "silu": {"act": nn.silu},
    "gelu": {"act": nn.gelu},
    "elu": {"act": nn.elu},
    "leaky": {"act": nn.leaky_relu},
    "float32": {"dtype": jnp.float32},
    "cifar": {"stem": "cifar"},
    "remat": {"remat": True},
}


@pytest.mark.parametrize("part", PARTS)
def test_parts(part):
    check(rj.ResNet(rj.Bottleneck, num_classes=6, **TINY, **PARTS[part]), fold=True)


STEMS = sorted({str(row.options.get("stem")): name for name, row in VARIANTS.items()}.values())


@pytest.mark.parametrize("variant", STEMS)
def test_stems(variant):
    stem = {"stem": VARIANTS[variant].options.get("stem", "imagenet")}
    check(rj.ResNet(rj.BasicBlock, num_classes=6, **TINY, **stem), fold=True)


class OwnBlock(rj.models.ResidualBlock):
    """With Flax's layers, a normalisation away from any convolution, and one behind two uses."""

    expansion = 1

    @nn.compact
    def __call__(self, x, train=False):
        x = self.make_norm("bn0")(x, train)
        strides = (self.stride, self.stride)
        y = nn.Conv(self.planes, (3, 3), strides, padding=((0, 2), (2, 0)), name="conv")(x)
        z = self.make_norm("bn1")(y, train)
        y = jnp.where(z > 0, y, nn.tanh(z)) - nn.softplus(z).max(-1, keepdims=True)
        y = nn.avg_pool(y, (3, 3), (1, 1), ((1, 1), (1, 1))) + jnp.flip(y, 2).transpose(0, 2, 1, 3)
        y = nn.Dense(self.planes, use_bias=False)(jnp.concatenate([y, y[:, ::-1]], -1))
        return self.add_shortcut(y / (1 + jnp.abs(y)), x, train)


@pytest.mark.parametrize("fold", [False, True])
def test_a_block_of_ones_own(fold):
    found = check(rj.ResNet(OwnBlock, num_classes=6, **TINY), fold=fold, images=IMAGES[:, :32, :32])
    assert found["BatchNormalization"] == (0 if fold else 12)
    # Those behind the stem's and the three shortcuts' convolutions are gone; the two of each block
    # are a scale and a shift. A block has another product, the sum of the pool's windows.
    assert found["Mul"] == (12 if fold else 4)


class Sorted(rj.models.ResidualBlock):
    expansion = 1

    @nn.compact
    def __call__(self, x, train=False):
        y = rj.models.Conv(self.planes, 3, self.stride)(x)
        return self.add_shortcut(jnp.sort(y, -1), x, train)


class OverTheBatch(rj.models.ResidualBlock):
    expansion = 1

    @nn.compact
    def __call__(self, x, train=False):
        y = rj.models.Conv(self.planes, 3, self.stride)(x)
        return y - y.mean((0, 1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Sorted, "it contains the operation 'sort'"),
        (OverTheBatch, "it mixes the images of a batch"),
    ],
)
def test_what_has_no_form(block, message):
    model = rj.ResNet(block, num_classes=6, **TINY)
    variables = variables_of(model)
    with pytest.raises(ValueError, match=f"^`model` cannot be written as ONNX: {message}"):
        to_onnx(model, variables, transform=None, image_shape=(33, 33, 3))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(40, 70), (36, 36), (33, 36)])
def test_pixels(shape, interpolation):
    """The transform within the model is that of the device, to the pixel."""
    transform = rj.Transform(
        source=shape,
        resize=36,
        crop=33,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.25, 0.3),
        interpolation=interpolation,
    )
    model = rj.ResNet(rj.BasicBlock, num_classes=6, **TINY)
    variables = variables_of(model)
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape, 3), dtype=np.uint8)
    expected = jax.nn.softmax(model.apply(variables, transform.center(pixels)))
    data = to_onnx(
        model,
        variables,
        transform=transform,
        image_shape=(*shape, 3),
        output="probabilities",
        metadata={"class_names": json.dumps(["é"])},
    )
    for count in (1, 5):
        np.testing.assert_allclose(run(data, pixels[:count]), expected[:count], rtol=1e-4)

    # Up to the first convolution, it is nothing but the transform.
    proto = onnx.load_from_string(data)
    first = next(node for node in proto.graph.node if node.op_type == "Conv")
    proto.graph.output[0].name = first.input[0]
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    ours = np.asarray(transform.center(pixels)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(proto.SerializeToString(), pixels), ours, rtol=0, atol=1e-6)


class Wrapped(nn.Module):
    """Somebody's own wrapper, which has no type."""

    inner: nn.Module

    def __call__(self, x, train=False):
        return 2 * self.inner(x, train=train)


def wrappers(model, variables):
    folded, fewer = fold_batch_norm(model, variables)
    own = {kind: {"inner": tree} for kind, tree in variables.items()}
    return {
        "averaged": (FlipAveraged(model), variables),
        "folded": (folded, fewer),
        "averaged, folded": fold_batch_norm(FlipAveraged(model), variables),
        "folded, averaged": (FlipAveraged(folded), fewer),
        "own": (Wrapped(model), own),
    }


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize(
    "kind", ["averaged", "folded", "averaged, folded", "folded, averaged", "own"]
)
def test_wrappers(kind, fold):
    """They compute in float32, too."""
    model = rj.ResNet(rj.BasicBlock, (1, 1), 3, base_planes=8, stem="cifar", dtype=jnp.float16)
    exact, images = model.clone(dtype=None), IMAGES[:, :8, :8]
    variables = variables_of(exact, images)
    wrapper, values = wrappers(exact, variables)[kind]
    expected = np.asarray(jax.jit(wrapper.apply)(values, images))
    wrapper, values = wrappers(model, variables)[kind]
    data = to_onnx(wrapper, values, transform=None, image_shape=[8, 8, 3], fold_batch_norm=fold)
    result = run(data, images.transpose(0, 3, 1, 2))
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


def test_what_the_model_says_of_itself():
    model = create_model("resnet18", 6, **TINY)
    data = to_onnx(
        model,
        variables_of(model),
        transform=None,
        image_shape=(33, 35, 3),
        metadata={"class_names": '["é"]'},
    )
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape, images.type) == (
        "images",
        ["batch", 3, 33, 35],
        "tensor(float)",
    )
    assert (logits.name, logits.shape) == ("logits", ["batch", 6])
    assert session.get_modelmeta().custom_metadata_map == {"class_names": '["é"]'}
    proto = onnx.load_from_string(data)
    assert proto.opset_import[0].version == 18
    names = {"conv1.kernel", "layer1_0.bn1.mean", "fc.bias"}
    assert names <= {array.name for array in proto.graph.initializer}


def test_names_of_folded_arrays():
    model = create_model("resnet18", 6, **TINY)
    data = to_onnx(
        model, variables_of(model), transform=None, image_shape=(33, 33, 3), fold_batch_norm=True
    )
    names = {array.name for array in onnx.load_from_string(data).graph.initializer}
    assert {"conv1.kernel", "conv1.bias", "layer2_0.downsample.conv.bias"} <= names
    assert not [name for name in names if "bn" in name]


def test_mistakes():
    model = create_model("resnet18", 6, **TINY)
    variables = variables_of(model)
    with pytest.raises(ValueError, match=r"`output` \(='classes'\) must be one of"):
        to_onnx(model, variables, transform=None, image_shape=(33, 33, 3), output="classes")
    transform = rj.Transform(source=(33, 33), resize=36, crop=33, mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(ValueError, match=r"`image_shape` \(=\(8, 8, 3\)\) must be that"):
        to_onnx(model, variables, transform=transform, image_shape=(8, 8, 3))
    for shape in (33, (33, 33), (33, 33, 3.0), (0, 33, 3)):
        message = re.escape(f"`image_shape` (={shape}) must be (height, width, channels)")
        with pytest.raises(ValueError, match=f"^{message}, whole numbers of at least 1$"):
            to_onnx(model, variables, transform=None, image_shape=shape)
    sizes = [np.uint8(33), np.int64(33), np.int8(3)]
    assert to_onnx(model, variables, transform=transform, image_shape=sizes)
