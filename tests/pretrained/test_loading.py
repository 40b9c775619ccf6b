"""Networks from folders and files: every form, what is taken from them, what is refused."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import resnet_jax as rj
from resnet_jax.data import ImageTransform
from resnet_jax.models import ConvStem

from .conftest import ARGS, CLASSES, CONFIG, NAMES, assert_same, make_variables, write

FLAT = {
    "architecture": "resnet18",
    "num_classes": CLASSES,
    "num_features": 64,
    "labels": list(NAMES),
    "model_args": ARGS,
    "input_size": [3, 64, 64],
    "interpolation": "bilinear",
    "crop_pct": 0.875,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "first_conv": "conv1",
    "classifier": "fc",
}


def picture(height=70, width=90):
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def without(config, *names):
    return {name: value for name, value in config.items() if name not in names}


def test_a_folder_of_timm(folder, model, variables):
    loaded = rj.load_pretrained(folder)
    assert loaded.model.layers == (1, 1, 1, 1)
    assert_same(loaded.variables, variables)
    assert loaded.transform == ImageTransform.from_timm(CONFIG["pretrained_cfg"])
    assert (loaded.transform.resize, loaded.transform.crop) == (67, 64)
    assert loaded.class_names == NAMES
    assert loaded.config == {
        **without(CONFIG, "pretrained_cfg"),
        "pretrained_cfg": CONFIG["pretrained_cfg"],
    }
    assert loaded.source == str(folder)
    assert loaded.notes == ()
    assert rj.load_pretrained(f"local-dir:{folder}").source == str(folder)


def test_named_predictions(folder, model, variables):
    loaded = rj.load_pretrained(folder)
    logits = model.apply(variables, loaded.transform(picture())[None])
    probabilities = jax.nn.softmax(logits[0])
    order = np.argsort(-probabilities)
    for top in (2, 9):
        predicted = loaded.predict(picture(), top=top)
        assert [name for name, _ in predicted] == [NAMES[index] for index in order[:top]]
        np.testing.assert_allclose([p for _, p in predicted], probabilities[order[:top]], 1e-5)
    with pytest.raises(ValueError, match=r"`top` \(=0\)"):
        loaded.predict(picture(), top=0)


def test_as_an_nnx_module(folder, model, variables, tmp_path):
    loaded, plain = rj.load_pretrained(folder, api="nnx"), rj.load_pretrained(folder)
    linen, same = rj.nnx.to_linen(loaded.model)
    assert_same(same, variables)
    assert (linen.layers, linen.num_classes) == (tuple(model.layers), model.num_classes)
    assert loaded.model.use_running_average
    for name in ("transform", "class_names", "config", "source", "notes", "origin_notes"):
        assert getattr(loaded, name) == getattr(plain, name), name
    before = loaded.predict(picture())
    assert before == plain.predict(picture())
    # The predictions are those of the present values, in whatever mode the model is.
    loaded.model.train()
    assert loaded.predict(picture()) == before
    loaded.model.fc.bias[...] += jnp.eye(len(NAMES))[2] * 100
    assert loaded.predict(picture(), top=1)[0][0] == NAMES[2]
    with pytest.raises(ValueError, match=r"`top` \(=0\)"):
        loaded.predict(picture(), top=0)
    path = tmp_path / "model.safetensors"
    rj.save_weights(path, *rj.nnx.to_linen(loaded.model))
    assert_same(rj.load_weights(model, path), rj.nnx.to_linen(loaded.model)[1])
    with pytest.raises(ValueError, match=r"`api` \(='haiku'\) must be 'linen' or 'nnx'"):
        rj.load_pretrained(folder, api="haiku")


@pytest.mark.parametrize("api", ["linen", "nnx"])
def test_a_notebook_shows_it_in_a_few_lines(folder, api):
    shown = repr(rj.load_pretrained(folder, api=api))
    assert str(folder) in shown
    assert "crop=64" in shown
    assert len(shown) < 800


def test_the_size_of_the_test_and_options(folder):
    loaded = rj.load_pretrained(folder, test_size=True, dtype=jnp.bfloat16)
    assert (loaded.transform.resize, loaded.transform.crop) == (80, 80)
    assert loaded.model.dtype == jnp.bfloat16


def test_the_flat_form(tmp_path, tensors, variables):
    loaded = rj.load_pretrained(write(tmp_path / "flat", FLAT, tensors))
    assert_same(loaded.variables, variables)
    assert loaded.class_names == NAMES
    assert loaded.transform == ImageTransform(resize=73, crop=64)
    assert loaded.config["architecture"] == "resnet18"
    assert loaded.config["pretrained_cfg"]["first_conv"] == "conv1"
    assert loaded.config["model_args"] == ARGS
    assert "architecture" not in loaded.config["pretrained_cfg"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_weights_in_one_file_and_in_several(tmp_path, tensors, variables, name):
    torch = pytest.importorskip("torch")

    def save(part, path):
        if name.endswith("bin"):
            torch.save({n: torch.tensor(v) for n, v in part.items()}, path)
        else:
            save_file(part, path)

    one = write(tmp_path / "one")
    save(tensors, one / name)
    assert_same(rj.load_pretrained(one).variables, variables)

    several = write(tmp_path / "several")
    names, map_ = list(tensors), {}
    stem, _, ending = name.rpartition(".")
    for index, begin in enumerate((0, 20, 40)):
        shard = f"{stem}-0000{index + 1}-of-00003.{ending}"
        part = names[begin : begin + 20] if index < 2 else names[begin:]
        save({n: tensors[n] for n in part}, several / shard)
        map_ |= dict.fromkeys(part, shard)
    index = several / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": map_}))
    assert_same(rj.load_pretrained(several).variables, variables)
    (several / f"{stem}-00002-of-00003.{ending}").unlink()
    with pytest.raises(rj.WeightsError, match=r"lists .*-00002-of-00003.* missing; copy it"):
        rj.load_pretrained(several)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a\\b", "", ".hidden", 3])
def test_an_index_lists_files_of_its_folder_only(tmp_path, tensors, name):
    save_file(tensors, tmp_path / "secret.safetensors")
    folder = write(tmp_path / "folder")
    index = {"weight_map": {"conv1.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(rj.WeightsError, match=r"a name without folders|which is missing"):
        rj.load_pretrained(folder)


class TestHead:
    def test_other_classes_start_a_new_head(self, folder, variables):
        loaded = rj.load_pretrained(folder, num_classes=3, head_key=jax.random.key(1))
        assert loaded.model.num_classes == loaded.config["num_classes"] == 3
        assert loaded.variables["params"]["fc"]["kernel"].shape == (64, 3)
        assert loaded.class_names is None
        assert "label_names" not in loaded.config
        assert "`fc` is new, for 3 classes." in loaded.notes
        assert_same(loaded.variables["batch_stats"], variables["batch_stats"])
        other = rj.load_pretrained(folder, num_classes=3, head_key=jax.random.key(2))
        assert (
            np.abs(
                loaded.variables["params"]["fc"]["kernel"]
                - other.variables["params"]["fc"]["kernel"]
            ).max()
            > 0
        )

    def test_the_same_number_keeps_it(self, folder, variables):
        loaded = rj.load_pretrained(folder, num_classes=CLASSES)
        assert_same(loaded.variables, variables)
        assert loaded.class_names == NAMES

    def test_weights_without_one(self, tmp_path, tensors):
        body = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
        folder = write(tmp_path / "body", {**CONFIG, "num_classes": 0}, body)
        with pytest.raises(rj.WeightsError, match="`num_classes` starts a new one"):
            rj.load_pretrained(folder)
        assert rj.load_pretrained(folder, num_classes=2).model.num_classes == 2

    def test_a_configuration_of_other_classes(self, tmp_path, tensors):
        folder = write(tmp_path / "odd", {**CONFIG, "num_classes": 7}, tensors)
        with pytest.raises(rj.WeightsError, match=r"`num_classes` \(=7\) .* must be the 5 of `fc`"):
            rj.load_pretrained(folder)


class TestFile:
    def test_a_file_takes_the_usual_transform_and_says_so(self, tmp_path, variables, caplog):
        model = rj.resnet18(7, base_planes=8)
        variables = make_variables(model)
        path = tmp_path / "weights.safetensors"
        rj.save_weights(path, model, variables)
        write(tmp_path, {"architecture": "resnet50"})
        with caplog.at_level(logging.INFO, "resnet_jax"):
            loaded = rj.load_pretrained(path, variant="resnet18", base_planes=8)
        assert_same(loaded.variables, variables)
        assert loaded.model.num_classes == 7
        assert loaded.transform == ImageTransform()
        assert loaded.class_names is None
        note = "The transform is the usual one of ImageNet: the source does not say its own."
        assert loaded.notes == (note,)
        assert note in caplog.text
        assert loaded.predict(picture(), top=1)[0][0] in map(str, range(7))

    def test_a_folder_beside_it_is_not_guessed(self, tmp_path, folder):
        with pytest.raises(rj.WeightsError) as caught:
            rj.load_pretrained(folder / "model.safetensors")
        assert "give `variant`, or the folder" in str(caught.value)
        path = tmp_path / "model.safetensors"
        path.write_bytes((folder / "model.safetensors").read_bytes())
        with pytest.raises(rj.WeightsError, match=r"says the architecture; give `variant`$"):
            rj.load_pretrained(path)

    def test_a_checkpoint_of_a_training(self, tmp_path, tensors, model, variables):
        torch = pytest.importorskip("torch")
        net = {f"module.{n}": torch.tensor(v) for n, v in tensors.items()}
        other = {n: torch.tensor(0 * v) for n, v in tensors.items()}
        path = tmp_path / "last.pth.tar"
        torch.save({"epoch": 2, "state_dict": net, "state_dict_ema": other}, path)
        options = {"layers": (1, 1, 1, 1), "base_planes": (8, 16, 32, 64), "stem": model.stem}
        loaded = rj.load_pretrained(path, variant="resnet18", **options)
        assert_same(loaded.variables, variables)
        assert any("key='state_dict_ema' takes it" in note for note in loaded.notes)
        averaged = rj.load_pretrained(path, variant="resnet18", key="state_dict_ema", **options)
        assert not np.any(averaged.variables["params"]["fc"]["kernel"])

    def test_grey_images(self, tmp_path):
        model = rj.resnet18(3, base_planes=8)
        rj.save_weights(tmp_path / "grey.safetensors", model, make_variables(model, channels=1))
        loaded = rj.load_pretrained(
            tmp_path / "grey.safetensors", variant="resnet18", base_planes=8
        )
        assert loaded.transform(picture()).shape == (224, 224, 1)
        np.testing.assert_allclose(loaded.transform.mean, [0.449])
        assert loaded.notes[-1].startswith("`mean` and `std` are averaged")


def test_variant_takes_the_place_of_an_unknown_architecture(tmp_path, variables):
    model = rj.resnet18(CLASSES, base_planes=8)
    variables = make_variables(model)
    config = {**CONFIG, "architecture": "my_own_net", "model_args": {"strange": 1}}
    folder = write(tmp_path / "own", config, rj.to_torch(model, variables))
    loaded = rj.load_pretrained(folder, variant="resnet18", base_planes=8)
    assert_same(loaded.variables, variables)
    assert loaded.transform.crop == 64
    assert loaded.config["architecture"] == "resnet18"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "resnet5"}, r"`architecture` \(='resnet5'\).*near to it are resnet5"),
        ({"architecture": "vit_base_patch16"}, r"is no ResNet of the table"),
        ({"architecture": None}, r"`architecture` is missing"),
        ({"num_classes": "ten"}, r"`num_classes` \(='ten'\) must be a number of classes"),
        ({"num_classes": -1}, r"`num_classes` \(=-1\)"),
        ({"model_args": {"stem_shape": 3}}, r"`model_args` cannot be used: .*`stem_shape`"),
        ({"model_args": [1]}, r"`model_args` \(=\[1\]\) must be an object"),
        ({"model_args": {"layers": [1, 1, 1, 10**9]}}, r"`layers` .* must be one to four numbers"),
        ({"pretrained_cfg": 3}, r"`pretrained_cfg` \(=3\) must be an object"),
        ({"pretrained_cfg": {"input_size": [3, 224, 192]}}, r"`input_size` .* must be square"),
        ({"pretrained_cfg": {"input_size": "big"}}, r"`pretrained_cfg` describes no transform"),
        ({"pretrained_cfg": {"crop_pct": 0}}, r"`pretrained_cfg` describes no transform"),
        ({"pretrained_cfg": {"interpolation": "odd"}}, r"`interpolation`"),
        ({"label_names": "abc"}, r"`label_names` \(='abc'\) must be a list"),
    ],
)
def test_mistakes_in_a_configuration(tmp_path, tensors, change, message):
    folder = write(tmp_path / "odd", {**CONFIG, **change}, tensors)
    with pytest.raises(rj.WeightsError, match=message) as caught:
        rj.load_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_thousand_classes_without_names_are_imagenets(tmp_path, form):
    model = rj.resnet18(1000, base_planes=8)
    tensors = rj.to_torch(model, make_variables(model))
    config = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {}}
    source = write(tmp_path / "net", config, tensors)
    options = {"base_planes": 8}
    if form == "file":
        source, options = source / "model.safetensors", {"variant": "resnet18", **options}
    loaded = rj.load_pretrained(source, **options)
    assert len(loaded.class_names) == 1000
    assert loaded.class_names[:2] == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert loaded.class_names[-1] == "toilet tissue, toilet paper, bathroom tissue"
    assert loaded.config["label_names"][281] == "n02123045"
    assert loaded.config["label_names"] == sorted(loaded.config["label_names"])
    assert loaded.config["label_descriptions"]["n02123045"] == "tabby, tabby cat"
    assert any(note.startswith("The names are those of ImageNet's") for note in loaded.notes)
    other = rj.load_pretrained(source, num_classes=5, **options)
    assert (other.class_names, "label_names" in other.config) == (None, False)


def test_names_that_are_not_one_a_class(tmp_path, tensors):
    loaded = rj.load_pretrained(write(tmp_path / "a", {**CONFIG, "label_names": ["a"]}, tensors))
    assert loaded.class_names is None
    assert loaded.notes == ("The 1 `label_names` are not used: they must be 5 texts, one a class.",)
    names = {str(index): name for index, name in enumerate("abcde")}
    loaded = rj.load_pretrained(write(tmp_path / "b", {**CONFIG, "label_names": names}, tensors))
    assert loaded.class_names == tuple("abcde")


def test_sources_that_are_none(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"none\) does not exist; .* is 'owner/name'"):
        rj.load_pretrained("none")
    with pytest.raises(FileNotFoundError, match=r"does not exist$"):
        rj.load_pretrained(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        rj.load_pretrained("weights/model.safetensors")
    with pytest.raises(rj.WeightsError, match=r"must be 'hf-hub:owner/name\[@revision\]'"):
        rj.load_pretrained("hf-hub:resnet50")
    with pytest.raises(rj.WeightsError, match=r"has no weights; it must hold model\.safetensors"):
        rj.load_pretrained(write(tmp_path / "empty"))
    with pytest.raises(rj.WeightsError, match=r"`variant` \(='resnet51'\)"):
        rj.load_pretrained(folder, variant="resnet51")
    with pytest.raises(ValueError, match=r"`num_classes` \(=0\)"):
        rj.load_pretrained(folder, num_classes=0)
    with pytest.raises(TypeError, match="`head_key`"):
        rj.load_pretrained(folder, num_classes=2, key=jax.random.key(0))


def test_a_folder_takes_precedence_over_the_hub(tmp_path, folder, monkeypatch):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm/resnet18.tiny").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    loaded = rj.load_pretrained("timm/resnet18.tiny")
    assert loaded.class_names == NAMES
    assert loaded.notes == (
        "The folder timm/resnet18.tiny is read; 'hf-hub:timm/resnet18.tiny' reads the repository "
        "of that name.",
    )


def test_a_stem_of_timm(model):
    """Otherwise the fixtures would not be what timm makes of such arguments."""
    assert model.stem.func is ConvStem
    assert model.stem.keywords == {"width": 64}
