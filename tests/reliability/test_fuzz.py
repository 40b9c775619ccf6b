"""Anything at all as options, checkpoints or weights: one line of error, or the result."""

import contextlib
import dataclasses
import io
import json
import re
import shutil

import jax
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import resnet_jax as rj
from experiments import cifar_resnet34
from experiments.recipe import parse
from experiments.run_options import RunOptions
from experiments.train import run_command
from resnet_jax.models import WeightsError
from resnet_jax.run import CheckpointStore, RunFolder, RunRecord
from resnet_jax.run.checkpoint_reader import CheckpointReader
from resnet_jax.run.identity import Identity, check_identity
from resnet_jax.run.migrations import FORMAT_VERSION
from resnet_jax.storage import write_manifest
from resnet_jax.training import create_state

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
    def begin(self, config=None, *, data=None, identity=None):
        super().begin(config, data=data, identity=identity)
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
    """Flips, cuts, repeats or replaces some bytes."""
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
        """What evaluation does, which changes nothing."""
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
