"""Anything at all as options, files, names, paths or arrays: one line of error, or the result."""

import contextlib
import dataclasses
import io
import itertools
import json
import math
import re
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from PIL import Image
from tiny_task import assert_trees_equal, quiet_reporter

import resnet_jax as rj
from experiments import cifar_resnet34
from experiments.recipe import parse
from experiments.run_options import RunOptions
from experiments.train import run_command
from resnet_jax.data import Transform, load_image_folder
from resnet_jax.evaluation import (
    Mistake,
    class_report,
    confusion_matrix,
    environment,
    plot_confusion_matrix,
    plot_overlay,
    save_figure,
    show_examples,
    write_page,
)
from resnet_jax.models import WeightsError
from resnet_jax.run import CheckpointStore, FitConfig, RunFolder, RunFolderError, RunRecord
from resnet_jax.run.checkpoint_reader import CheckpointReader
from resnet_jax.run.identity import Identity, check_identity, layout
from resnet_jax.run.migrations import FORMAT_VERSION
from resnet_jax.storage import dumps, write_manifest
from resnet_jax.training import (
    EvalPlan,
    ReduceLROnPlateau,
    Schedule,
    TrainState,
    create_state,
    cross_entropy,
    eval_step,
    make_optimizer,
    zero_totals,
)

from .runs import Linear, contents

cheaply = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "nan", "-1", "0", "1e999", "..", "/dev/null", "a\nb", "x" * 300, "\0"]),
)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str), st.integers(-2, 200).map(str), st.floats().map(repr)
)
OPTIONS = {
    "--preset": st.sampled_from(["none", "quick"] * 5 + ["", "a\nb"]),
    "--variant": st.sampled_from(["resnet18", "resnet50"]) | TEXTS,
    "--stem": st.sampled_from(["imagenet", "cifar"]) | TEXTS,
    "--archive": TEXTS,
    "--epochs": NUMBERS | TEXTS,
    "--batch-size": NUMBERS,
    "--eval-batch-size": NUMBERS,
    "--lr": NUMBERS | TEXTS,
    "--optimizer": st.sampled_from(["sgd", "adamw"]) | TEXTS,
    "--momentum": NUMBERS,
    "--beta2": NUMBERS | st.just("None") | TEXTS,
    "--seed": NUMBERS,
    "--resize": NUMBERS,
    "--crop": NUMBERS,
    "--recipe": st.sampled_from(["default", "tutorial"]) | TEXTS,
    "--scheduler-on": st.sampled_from(["valid_acc", "minibatch_loss"]) | TEXTS,
    "--parallel": st.sampled_from(["jit", "pmap"]) | TEXTS,
    "--dtype": st.sampled_from(["float32", "bfloat16"]) | TEXTS,
    "--checkpoint-every": NUMBERS,
    "--checkpoint-minutes": NUMBERS,
    "--log-every": NUMBERS,
    "--base-planes": st.integers(-2, 200).map(str),
    "--data-dir": TEXTS,
    "--augment": st.sampled_from(["flip", "crop:4", "mixup:0.2", "cutout:99", "crop:x"]) | TEXTS,
    "--schedule": st.sampled_from(["plateau", "constant", "cosine", "onecycle"]) | TEXTS,
    "--warmup-epochs": NUMBERS,
    "--weight-decay": NUMBERS,
    "--label-smoothing": NUMBERS,
    "--ema-decay": NUMBERS,
    "--accumulate-steps": NUMBERS,
    "--num-processes": NUMBERS,
    "--resident-gigabytes": NUMBERS,
    "--track": st.sampled_from(["tensorboard", "wandb"]) | TEXTS,
}


class Begun(Exception):
    """The run folder is begun, and the training would be next."""


class StopsWhenBegun(RunFolder):
    def begin(self, config=None, *, data=None):
        super().begin(config, data=data)
        raise Begun


@dataclasses.dataclass(frozen=True)
class Preparation(RunOptions):
    """A run that does everything but training."""

    def build(self):
        return StopsWhenBegun(self.run_dir, resume=self.resume)


@cheaply
@given(
    options=st.fixed_dictionaries(
        {"--dataset": st.sampled_from(["digits"] * 9 + ["cifar10", "\n"])}, optional=OPTIONS
    ),
    resume=st.booleans(),
    run_dir=st.sampled_from(["run", "sub/run", "file", "x" * 300, "a\nb", "\0", "/sys/x"]),
)
def test_command_lines(tmp_path_factory, options, resume, run_dir):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "file").write_text("")
    arguments = [f"{name}={value}" for name, value in options.items()]
    arguments += [f"--run-dir={run_dir}", *["--resume"] * resume]

    def read():
        job = parse(cifar_resnet34.CONFIG, arguments, description="")
        return dataclasses.replace(job, run=Preparation(**vars(job.run)))

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(printed):
        patch.chdir(folder)
        patch.setenv("RESNET_JAX_DATA", str(folder / "data"))
        # No network here.
        for proxy in ("http_proxy", "https_proxy"):
            patch.setenv(proxy, "http://127.0.0.1:9")
        try:
            code = run_command(read)
        except Begun:
            code = 0
            assert printed.getvalue() == ""
        except SystemExit as stop:  # of the parser, which explains at length
            code = stop.code
            assert code == 2
        else:
            assert code == 2
            assert re.fullmatch(r"error: [^\n]+\n", printed.getvalue())
    allowed = {"file", "data", "a\nb"} | ({"run", "sub"} if code == 0 else set())
    assert {path.name for path in folder.iterdir()} <= allowed
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def original(whole, tmp_path_factory):
    return shutil.copytree(whole[1] / "checkpoints", tmp_path_factory.mktemp("fuzz") / "original")


def mutate(data, draw, where):
    """Flip, cut, repeat or replace some bytes."""
    kind = draw(st.sampled_from(["flip", "cut", "insert", "all"]), label="kind")
    place = draw(st.integers(0, max(len(data) - 1, 0)), label=f"place in {where}")
    junk = draw(st.binary(min_size=1, max_size=9), label="junk")
    if kind == "flip":
        return data[:place] + bytes([data[place] ^ junk[0]] if data else b"") + data[place + 1 :]
    if kind == "cut":
        return data[:place]
    return junk if kind == "all" else data[:place] + junk + data[place:]


# TensorStore finishes reads that nobody waits for any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@cheaply
@given(data=st.data(), consistent=st.booleans())
def test_checkpoint_folders(task, original, tmp_path_factory, data, consistent):
    """Damaged, or made to look whole by someone: an error or a state, and nothing else changes."""
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(original / "24", folder / "checkpoints/24")
    files = sorted(path for path in (folder / "checkpoints/24").rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="path")
    before = path.read_bytes()
    path.write_bytes(mutate(before, data.draw, path.name))
    if consistent:
        write_manifest(folder / "checkpoints/24")
    changed = path.read_bytes() != before
    fresh = create_state(Linear(), task.tx, jax.random.key(0), (1, 8, 8, 1))
    damaged = contents(folder)

    def read():
        """Read as an evaluation does, which changes nothing."""
        reader = CheckpointReader(folder / "checkpoints")
        step, _ = reader.newest_whole()
        RunRecord.from_json(reader.read_progress(step), task.controller, 8)
        reader.read_variables(step, {"params": fresh.params, "batch_stats": {}})

    def resume():
        with CheckpointStore(folder / "checkpoints") as store:
            step, _ = store.newest_whole()
            RunRecord.from_json(store.read_progress(step), task.controller, 8)
            store.read_state(step, fresh)

    for attempt in (read, resume):
        try:
            attempt()
        except ValueError as error:
            message = str(error)
            assert "\n" not in message
            assert changed
        assert contents(folder) == damaged
    shutil.rmtree(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = ["format", "plateau", "history", "learning_rates", "best_epoch", "seconds", "identity"]
FIELDS += ["epoch_seconds", "epoch_parts", "parts", "image_sizes", "running_correct"]


@cheaply
@given(
    values=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1) | JSON,
    inside=st.sampled_from([None, "plateau", "history"]),
)
def test_progress(task, original, tmp_path_factory, values, inside):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "24").mkdir()
    progress = json.loads((original / "24/progress.json").read_text())
    identity = progress["identity"]
    if isinstance(values, dict):
        changed = {**progress[inside], **values} if inside else values
        progress = {**progress, **({inside: changed} if inside else changed)}
    else:
        progress = values
    (folder / "24/progress.json").write_text(json.dumps(progress))
    store = CheckpointReader(folder)
    # Anything but a ValueError, of which CheckpointError is one, would be a traceback.
    with contextlib.suppress(ValueError):
        saved = store.read_progress(24)
        assert saved["format"] == FORMAT_VERSION
        if isinstance(saved["identity"], dict):
            check_identity(saved["identity"], Identity(identity), folder)
        record = RunRecord.from_json(saved, task.controller, 8)
        assert (record.step, record.epoch) == (24, 3)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def network():
    model = rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), 3, base_planes=2, stem="cifar")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    return model, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parametrize("suffix", [".safetensors", pytest.param(".pth", marks=pytest.mark.slow)])
@cheaply
@given(data=st.data())
def test_weight_files(network, tmp_path_factory, suffix, data):
    model, variables = network
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"weights{suffix}"
    rj.save_weights(path, model, variables)
    path.write_bytes(mutate(path.read_bytes(), data.draw, path.name))
    try:
        loaded = rj.load_weights(model, path)
    except WeightsError:
        pass
    else:
        assert jax.tree.structure(loaded) == jax.tree.structure(variables)
        for one, two in zip(jax.tree.leaves(loaded), jax.tree.leaves(variables), strict=True):
            assert one.shape == two.shape
    assert [path.name for path in folder.iterdir()] == [f"weights{suffix}"]
    shutil.rmtree(folder)


# Also what no file system, page or terminal takes for a letter.
NAMES = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(), max_size=8),
    st.text(st.sampled_from("$_^%{}[]<>&\\/\"'#~|:*?-. \n\t"), max_size=8),
    st.sampled_from(["[bold]x[/]", "$x$", r"$\frac{$", "<script>", "{{ x }}", "n" * 3000]),
)


@settings(cheaply, max_examples=5)
@given(names=st.lists(NAMES, min_size=3, max_size=6, unique=True))
def test_class_names(tmp_path_factory, names):
    """They are in the report to the letter, and no figure, page or line is lost for them."""
    folder = tmp_path_factory.mktemp("fuzz")
    true, predicted = [*range(len(names))], [*range(1, len(names)), 0]
    matrix = confusion_matrix(true, predicted, num_classes=len(names))
    images = np.zeros((len(names), 8, 8, 3), np.uint8)
    figures = {
        "confusion_matrix": plot_confusion_matrix(matrix, class_names=names),
        "examples": show_examples(images, true, predicted, names),
        "loss": plot_overlay(
            {name: ([0, 1], [1, 2]) for name in names}, xlabel=names[0], ylabel=names[1]
        ),
    }
    report = {
        "weights": names[0],
        "best_checkpoint": {
            "epoch": 1,
            "step": 2,
            "valid_accuracy": 0.9,
            "test_accuracy": 0.9,
        },
        "test_accuracy": 0.0,
        "ece": 0.1,
        "per_class": class_report(matrix, class_names=names),
        "confusion_matrix": matrix,
        "grad_cam_stage": names[1],
        "best_epoch": 1,
        "best_valid_accuracy": 0.9,
        "train_accuracy": [0.9],
        "valid_accuracy": [0.9],
        "learning_rates": [0.1],
        "training_seconds": 1.5,
        "images_per_second": None,
        "environment": environment(),
        "config": {"variant": names[0], "dataset": names[1], "run_dir": names[2], "lr": 0.1},
    }
    encodable = [name for name in names if name.encode(errors="ignore").decode() == name]
    mistakes = [
        Mistake(0, images[0], true=one, predicted=two, confidence=0.5)
        for one, two in itertools.pairwise(names)
    ]
    reporter = quiet_reporter()
    for name in names:
        reporter.line(name)
    printed = reporter.console.file.getvalue()
    assert printed.count("\n") == len(names)
    printed.encode()
    with RunFolder(folder / "run") as run:
        run.path.mkdir()
        try:
            run.write_report(report)
        except ValueError as error:
            # A name that is no Unicode, which no folder of classes gives.
            message = str(error)
            assert len(encodable) < len(names)
            assert "UTF-8 cannot encode" in message
        else:
            assert list(run.read_report()["per_class"]) == names
            write_page(run.page_path, report, title=names[0], figures=figures, mistakes=mistakes)
            page = run.page_path.read_text(encoding="utf-8")
            assert "<script>" not in page
            # The four figures that it was not given.
            assert page.count("could not be drawn") == 4
    for name, figure in figures.items():
        save_figure(figure, folder / name)
        pyplot.close(figure)
    shutil.rmtree(folder)


PLACES = ["train", "Train", "Training", "test", "Test", "val", "Validation", "dev"]
CLASSES = ["cat", "dog", "Cat", "a b", "[x]", "$x$", "é", "e\u0301"]
ODD = [".hidden", "@eaDir", "__MACOSX", "caf\udce9"]
FILES = ["1.png", "2.PNG", "3.jpg", "4.tif", "notes.txt", "Thumbs.db", "._1.png", "link.png"]
EXTRA = st.lists(st.sampled_from([*PLACES, *CLASSES, *ODD]), max_size=3)


def add_file(folder, name, content):
    """Add an image, a link to nowhere, or text, by the name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if path.exists() or path.is_symlink():
        return
    if name == "link.png":
        path.symlink_to("nowhere.png")
    elif name.endswith(("txt", "db")):
        path.write_text("text")
    else:
        kinds = {"jpg": "JPEG", "tif": "TIFF"}
        Image.new("RGB", (4, 4), content).save(path, kinds.get(name[-3:], "PNG"))


@settings(cheaply, max_examples=60)
@given(
    places=st.sampled_from([[""]] * 4 + [["train"], ["Training", "Test"], ["train", "val", "test"]])
    | st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True),
    classes=st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True),
    count=st.sampled_from([1, 2, 4, 4, 4, 6]),
    extras=st.lists(st.tuples(EXTRA, st.sampled_from(FILES)), max_size=2),
)
def test_folder_layouts(tmp_path_factory, places, classes, count, extras):
    """All images that were found are in one part each; or one line, and nothing is changed."""
    folder = tmp_path_factory.mktemp("fuzz")
    root = folder / "photos"
    for place, name, number in itertools.product(places, classes, range(count)):
        add_file(root / place / name, f"{number}.png", (number, len(place), len(name)))
    for parts, name in extras:
        add_file(root.joinpath(*parts), name, "red")
    before = contents(root)
    found = []
    try:
        loaded = load_image_folder(root, side=4, on_found=found.append)
    except ValueError as error:
        message = str(error)
        assert re.fullmatch(r"[^\n]+", message)
        assert not message.endswith(".")
    else:
        dataset = loaded.dataset
        assert len(found) == 1
        assert len(dataset.class_names) == len(set(dataset.class_names)) >= 2
        for part in (dataset.train, dataset.test, loaded.valid):
            assert set(part.labels) <= set(range(len(dataset.class_names)))
        assert set(dataset.train.labels) == set(range(len(dataset.class_names)))
        images = sum(len(part) for part in (dataset.train, dataset.test, loaded.valid))
        # No file is read twice.
        assert images <= len(before)
    assert contents(root) == before
    shutil.rmtree(folder)


PATHS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=9),
        st.text(st.sampled_from("[]*?\\{}!-~:%#. \n'\"&|"), max_size=6),
        st.sampled_from(["..", ".", "gs:", "s3:", "file:", "**", "caf\udce9", "x" * 255, "~"]),
    ),
    min_size=1,
    max_size=4,
)


@cheaply
@given(parts=PATHS)
def test_paths_of_runs(task, tmp_path_factory, parts):
    """A checkpoint that was saved is read back, whatever the folder; or one line before that."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder.joinpath("below", *parts)
    state = create_state(Linear(), task.tx, jax.random.key(0), (1, 8, 8, 1)).replace(
        step=jnp.int32(1)
    )
    try:
        with RunFolder(path) as run:
            run.begin({"lr": 0.1})
            with run.checkpoints as store:
                store.save(state, {"identity": layout(state)})
    except RunFolderError as error:
        message = str(error)
        assert "\n" not in message.replace(str(path), "")
    else:
        run = RunFolder(path, resume=True)
        with run, run.checkpoints as store:
            assert_trees_equal(store.read_state(store.choose("last").step, state), state)
        shapes = {"params": state.params, "batch_stats": {}}
        assert_trees_equal(run.checkpoints.read_variables(1, shapes)["params"], state.params)
        assert run.read_config() == {"lr": 0.1}
        run.name.encode()
    shutil.rmtree(folder)


class Identical(nn.Module):
    """Images of one pixel, taken for logits."""

    def __call__(self, images, train=False):
        return images[:, 0, 0]


DTYPES = ["int8", "uint8", "int32", "uint32", "int64", "float16", "float32", "bool", "bfloat16"]
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@cheaply
@given(
    shape=st.just((4,)) | st.just((4, 3)) | st.just((4, 1)) | SHAPES,
    dtype=st.sampled_from(DTYPES),
    step=st.booleans(),
)
def test_labels(shape, dtype, step):
    """They are labels of these four examples and three classes, or refused: never broadcast."""
    labels = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(jnp.dtype(dtype))
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.float32)
    fits = shape == (4,) and np.issubdtype(labels.dtype, np.integer)
    if step:
        with jax.disable_jit():
            images = logits.reshape(4, 1, 1, 3)
            order = np.arange(4)[None], np.ones((1, 4), bool)
            try:
                plan = EvalPlan(images, jnp.asarray(labels), *map(jnp.asarray, order))
                totals = eval_step({}, plan, zero_totals(), jax.random.key(0), model=Identical())
            except (ValueError, TypeError) as error:
                message = str(error)
                assert not fits
                assert "labels" in message
            else:
                assert fits
                assert int(totals.count) == 4
                assert int(totals.correct) == (np.argmax(logits, 1) == labels).sum()
        return
    try:
        losses = cross_entropy(logits, jnp.asarray(labels))
    except ValueError as error:
        message = str(error)
        assert not fits
        assert re.fullmatch(r"`labels` \([^\n]+", message)
    else:
        assert fits or shape == (4, 3)
        target = labels if shape == (4, 3) else np.eye(3)[labels.astype(int)]
        expected = -(np.asarray(target, float) * np.asarray(jax.nn.log_softmax(logits))).sum(1)
        np.testing.assert_allclose(losses, expected, rtol=2e-2 if "16" in dtype else 1e-5)


SCALARS = st.sampled_from(
    [int, float, bool, np.asarray, jnp.asarray, str]
    + [np.dtype(name).type for name in ("int8", "uint8", "int64", "float16", "float32", "float64")]
)
VALUES = st.one_of(
    st.integers(-2, 300), st.floats(-1, 300), st.sampled_from([math.nan, math.inf, -math.inf])
)


# What they have no default for.
CONFIGURATIONS = {
    FitConfig: {},
    ReduceLROnPlateau: {},
    Schedule: {"shape": "constant", "total_steps": 9},
    Transform: {"source": (8, 8), "resize": 8, "crop": 8, "mean": (0.5,), "std": (0.5,)},
}
OPTIMIZER = {"momentum": 0.9, "weight_decay": 0.0, "beta2": 0.9}


def scalar_of(kind, value):
    """Return a value as a scalar of another type, or None where the type has no such value."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return kind(value)
    except (ValueError, OverflowError):
        return None


@settings(cheaply, max_examples=300)
@given(
    place=st.sampled_from(
        [(kind, field.name) for kind in CONFIGURATIONS for field in dataclasses.fields(kind)]
    ),
    kind=SCALARS,
    value=VALUES,
)
def test_scalars_of_a_configuration(place, kind, value):
    """They are Python's own afterwards, and kept by JSON; or one line says what would work."""
    configuration, name = place
    scalar = scalar_of(kind, value)
    if scalar is None:
        return
    shape = {"mean": 1, "std": 1, "source": 2}.get(name)
    given_value = scalar if shape is None else (scalar,) * shape
    try:
        config = configuration(**{**CONFIGURATIONS[configuration], name: given_value})
    except (ValueError, TypeError) as error:
        message = str(error)
        # A value may be wrong beside another, such as a crop beside a resize.
        assert re.fullmatch(r"`\w+` [^\n]+", message)
        assert f"`{name}`" in message
    else:
        kept = getattr(config, name)
        if isinstance(kept, tuple):
            kept, given_value = kept[0], scalar
        assert type(kept) in (int, float, bool, str)
        assert kept == given_value
        json.loads(dumps(dataclasses.asdict(config)))


@settings(cheaply, max_examples=100)
@given(name=st.sampled_from(["learning_rate", *OPTIMIZER]), kind=SCALARS, value=VALUES)
def test_scalars_of_an_optimizer(name, kind, value):
    """Its state has the types that it has for Python's numbers, or one line says what would."""
    scalar = scalar_of(kind, value)
    if scalar is None:
        return
    given_value = {"learning_rate": 0.1, **OPTIMIZER, name: scalar}
    params = {"kernel": np.ones((2, 2), np.float32)}
    expected = make_optimizer(0.1, name="adamw", **OPTIMIZER).init(params)
    try:
        state = make_optimizer(name="adamw", **given_value).init(params)
    except (ValueError, TypeError) as error:
        message = str(error)
        assert re.fullmatch(rf"`{name}` [^\n]+", message)
    else:
        assert jax.tree.map(jnp.result_type, state.hyperparams) == jax.tree.map(
            jnp.result_type, expected.hyperparams
        )
        # A whole state is saved in a checkpoint.
        layout(
            TrainState(step=jnp.int32(0), params=params, batch_stats={}, opt_state=state, ema={})
        )


@settings(cheaply, max_examples=25)
@given(parts=PATHS)
def test_paths_of_files(network, tmp_path_factory, parts):
    """Images and weights are read from any path that the system takes, or one line says why not."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder.joinpath("below", *parts, "images")
    model, variables = network
    weights = path / "weights.safetensors"
    try:
        for name, number in itertools.product("ab", range(3)):
            add_file(path / name, f"{number}.png", (number, len(name), 0))
        rj.save_weights(weights, model, variables)
    except OSError:
        pass  # The system takes no such path.
    else:
        loaded = load_image_folder(path, side=4)
        assert loaded.dataset.class_names == ("a", "b")
        assert_trees_equal(rj.load_weights(model, weights), variables)
        assert not list(path.glob("*.tmp"))
    shutil.rmtree(folder)
