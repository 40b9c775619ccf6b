"""Folders that one package writes and the other reads: the same logits, labels and images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf

import resnet_jax as rj
from resnet_jax.data import ImageTransform


def make_variables(model, channels):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))
    rng = np.random.default_rng(0)

    def draw(leaf):
        # Kernels as wide as He's, so that the logits stay of the order of 1.
        fan_in = max(1, int(np.prod(leaf.shape[:-1])))
        if len(leaf.shape) > 1:
            return rng.normal(0, (2 / fan_in) ** 0.5, leaf.shape).astype(np.float32)
        return (1 + 0.1 * rng.random(leaf.shape)).astype(np.float32)

    return jax.tree.map(draw, shapes)


def assert_close(ours, theirs):
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def logits(model, variables, x):
    return jax.jit(model.apply)(variables, x)


def theirs(net, x):
    with torch.no_grad():
        return net.eval()(torch.tensor(x).permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize(
    ("name", "classes", "channels", "options"),
    [
        ("resnet18", 1000, 3, {}),
        ("resnet18", 7, 1, {"layers": (1, 1, 1, 1)}),
        ("resnet26", 5, 3, {"replace_stride_with_dilation": (False, True, True)}),
        ("seresnext26t_32x4d", 3, 1, {}),
        ("resnet50_gn", 2, 3, {"layers": (1, 1, 1, 1)}),
    ],
)
def test_timm_reads_ours(tmp_path, name, classes, channels, options):
    model = rj.create_model(name, classes, **options)
    variables = make_variables(model, channels)
    transform = ImageTransform(
        resize=111, crop=96, interpolation="bicubic", mean=(0.4,) * channels, std=(0.3,) * channels
    )
    labels = [f"class {index}" for index in range(classes)]
    folder = tmp_path / "folder"
    rj.save_pretrained(folder, model, variables, transform=transform, class_names=labels)
    net = timm.create_model(f"local-dir:{folder}", pretrained=True)
    x = np.random.default_rng(1).normal(size=(2, 97, 75, channels)).astype(np.float32)
    assert_close(logits(model, variables, x), theirs(net, x))
    assert net.num_classes == classes
    assert list(net.pretrained_cfg["label_names"]) == labels

    config = timm.data.resolve_model_data_config(net)
    theirs_transform = timm.data.create_transform(**config, is_training=False)
    pixels = np.random.default_rng(2).integers(0, 256, (130, 171, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    np.testing.assert_array_equal(
        transform(image), theirs_transform(image).permute(1, 2, 0).numpy()
    )


def test_the_same_predictions_of_a_photograph(tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("resnet18")
    save_for_hf(net, tmp_path / "folder", safe_serialization=True)
    waves = np.sin(np.arange(451 * 300 * 3).reshape(300, 451, 3) / 7) * 100 + 128
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "photo.jpg")
    photo = Image.open(tmp_path / "photo.jpg")
    config = timm.data.resolve_model_data_config(net)
    image = timm.data.create_transform(**config, is_training=False)(photo)
    with torch.no_grad():
        best = net.eval()(image[None]).softmax(-1)[0].topk(5)
    loaded = rj.load_pretrained(tmp_path / "folder")
    predicted = loaded.predict(photo)
    names = timm.data.ImageNetInfo()
    assert [name for name, _ in predicted] == [
        names.index_to_description(int(index)) for index in best.indices
    ]
    np.testing.assert_allclose([value for _, value in predicted], best.values, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {"num_classes": 5, "layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}),
        ("resnet18", {"num_classes": 3, "in_chans": 1}),
        ("resnet26d", {"num_classes": 4, "output_stride": 16}),
        ("resnet18", {"num_classes": 6, "stem_type": "deep", "stem_width": 32, "avg_down": True}),
    ],
)
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_ours_reads_timm(tmp_path, name, arguments, form):
    torch.manual_seed(0)
    net = timm.create_model(name, **arguments)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.9, 1.1)
    save_for_hf(
        net,
        tmp_path / "folder",
        model_config={"label_names": [str(at) for at in range(arguments["num_classes"])]},
        safe_serialization=form == "safetensors",
    )
    loaded = rj.load_pretrained(tmp_path / "folder")
    channels = arguments.get("in_chans", 3)
    x = np.random.default_rng(1).normal(size=(2, 75, 97, channels)).astype(np.float32)
    assert_close(logits(loaded.model, loaded.variables, x), theirs(net, x))
    assert loaded.class_names == tuple(str(at) for at in range(arguments["num_classes"]))
    config = timm.data.resolve_model_data_config(net)
    assert loaded.transform.crop == config["input_size"][1]
    assert loaded.transform.interpolation == config["interpolation"]
