"""The checkpoints: what is kept, read back to the bit, and said when it cannot be."""

import json
import resource
import threading
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_task import assert_trees_equal

from resnet_jax.run import CheckpointError, CheckpointStore
from resnet_jax.run.checkpoint_reader import CheckpointReader
from resnet_jax.run.identity import layout
from resnet_jax.run.migrations import FORMAT_VERSION
from resnet_jax.storage import find_damage, write_manifest
from resnet_jax.training import TrainState, make_optimizer

TX = make_optimizer(0.1)


def state(step, width=3, **changes):
    params = {"kernel": jnp.arange(float(width)) + step}
    values = {"params": params, "batch_stats": {}, "opt_state": TX.init(params)}
    return TrainState(step=jnp.int32(step), **values | changes)


def contents(folder):
    """Return all files and folders below a folder, with their bytes."""
    paths = sorted(folder.rglob("*"))
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@contextmanager
def full_disk(longest):
    """Let no file of this process grow beyond a number of bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_saved_and_read(tmp_path):
    with CheckpointStore(tmp_path / "checkpoints") as store:
        assert store.newest_whole() == (None, {})
        assert not store.folder.exists()
        store.save(state(4), {"note": [1, 0.1]})
        store.wait()
        assert store.newest_whole() == (4, {})
        assert store.read_progress(4) == {"format": FORMAT_VERSION, "note": [1, 0.1]}
        assert_trees_equal(store.read_state(4, state(0)), state(4))
    names = {path.name for path in (store.folder / "4").iterdir()}
    assert {"state", "progress.json", "manifest.json"} <= names
    assert find_damage(store.folder / "4") is None


def test_the_last_and_the_best_stay(tmp_path):
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in range(1, 7):
            store.save(state(step), {}, best_step=None if step == 1 else 2)
    assert store.steps == [2, 5, 6]
    # After a restart, too.
    with CheckpointStore(tmp_path, keep=2) as store:
        store.save(state(7), {}, best_step=2)
        store.save(state(8), {}, best_step=8)
    assert store.steps == [7, 8]


def test_the_state_may_be_given_away_after_save(tmp_path):
    """Steps donate the state while the save is still going on."""
    next_step = jax.jit(lambda s: jax.tree.map(lambda leaf: leaf + 1, s), donate_argnums=0)
    with CheckpointStore(tmp_path, keep=100) as store:
        current = jax.tree.map(jnp.array, state(0, width=100_000))
        for _ in range(5):
            store.save(current, {})
            for _ in range(3):
                current = next_step(current)
        store.wait()
        expected = state(0, width=100_000)
        for step in store.steps:
            assert_trees_equal(
                store.read_state(step, state(0, width=100_000)),
                jax.tree.map(lambda leaf, step=step: leaf + step, expected),
            )
    assert store.steps == [0, 3, 6, 9, 12]


# TensorStore finishes reads that nobody waits for any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_structure(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(state(1), {})
        store.wait()
        for other in (state(1, width=4), state(1).replace(params={"bias": jnp.zeros(3)})):
            with pytest.raises(CheckpointError, match="cannot read the state of checkpoint") as e:
                store.read_state(1, other)
            assert "\n" not in str(e.value)


def test_a_step_that_is_there_already(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(state(2), {})
        with pytest.raises(CheckpointError, match="there is one of step 2 already"):
            store.save(state(1), {})


def random_state(step):
    """Return a state of 400 kB that cannot be compressed."""
    return state(step).replace(batch_stats=np.random.default_rng(step).random((50_000,)))


def save(folder, *steps, error=None):
    """Save random states, and then raise an error if there is one."""
    with CheckpointStore(folder) as store:
        for step in steps:
            store.save(random_state(step), {})
        if error is not None:
            raise error


@pytest.mark.parametrize("longest", [100_000, 100])
@pytest.mark.parametrize("steps", [(2,), (2, 3)])
def test_a_failing_save_is_an_error(tmp_path, longest, steps):
    """By the next save, or by the end of the context; what was saved before stays whole."""
    save(tmp_path, 1)
    message = r"cannot save the checkpoint of step 2 in .*\. Checkpoints from before are whole"
    with full_disk(longest), pytest.raises(CheckpointError, match=message) as error:
        save(tmp_path, *steps)
    assert "\n" not in str(error.value)
    assert CheckpointReader(tmp_path).newest_whole() == (1, {})


def test_the_error_that_ended_the_run_is_not_hidden(tmp_path):
    with full_disk(100), pytest.raises(ZeroDivisionError):
        save(tmp_path, 1, error=ZeroDivisionError())
    assert CheckpointReader(tmp_path).steps == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CheckpointError, match=r"cannot save the checkpoint of step 1 in .*file"),
        CheckpointStore(tmp_path / "file") as store,
    ):
        store.save(state(1), {})


def test_waiting_for_no_save_changes_nothing(tmp_path):
    with CheckpointStore(tmp_path / "checkpoints") as store:
        store.wait()
    assert not store.folder.exists()


def test_half_written_ones_are_removed_by_the_end_of_the_context(tmp_path):
    """No thread goes on with it, which would fail when the interpreter shuts down."""
    half = tmp_path / "12.orbax-checkpoint-tmp"
    half.mkdir()
    for number in range(2000):
        (half / str(number)).touch()
    before = set(threading.enumerate())
    with CheckpointStore(tmp_path) as store:
        store.reload()
    assert not half.exists()
    assert set(threading.enumerate()) <= before


def test_reading_changes_nothing(tmp_path):
    """Not even what a killed process has left, or what is damaged."""
    variables = {"params": {"kernel": np.arange(3, dtype=np.float32) + 6}, "batch_stats": {}}
    with CheckpointStore(tmp_path, keep=3) as store:
        for step in (3, 6, 9):
            progress = {"identity": layout(state(step)), "best_step": 6}
            store.save(state(step), progress, best_step=6)
    (tmp_path / "12.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "9/progress.json").write_text("")
    (tmp_path / "3/manifest.json").unlink()
    before = contents(tmp_path)
    reader = CheckpointReader(tmp_path)
    assert (reader.steps, reader.latest_step) == ([3, 6, 9], 9)
    step, damages = reader.newest_whole()
    assert (step, list(damages)) == (6, [9])
    assert reader.choose("last").step == 6
    assert reader.read_progress(6)["best_step"] == 6
    read = reader.read_variables(6, jax.eval_shape(lambda: variables))
    assert_trees_equal(read, variables)
    assert contents(tmp_path) == before


def test_what_is_evaluated_is_read(tmp_path):
    """The moving averages, where there are any."""
    variables = {"params": {"kernel": jnp.zeros(3)}, "batch_stats": {"mean": jnp.ones(2)}}
    averages = jax.tree.map(lambda leaf: leaf + 5, variables)
    for name, ema in (("plain", None), ("averaged", averages)):
        saved = state(1, **variables, ema=ema)
        with CheckpointStore(tmp_path / name) as store:
            store.save(saved, {"identity": layout(saved)})
        read = CheckpointReader(store.folder).read_variables(1, jax.eval_shape(lambda: variables))
        assert_trees_equal(read, variables if ema is None else averages)


def test_variables_of_another_model(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(state(1), {"identity": layout(state(1))})
    shapes = {"params": {"kernel": jax.ShapeDtypeStruct((4,), jnp.float32)}, "batch_stats": {}}
    message = r"has float32\[3\] at params/kernel, but the network of config\.json has float32\[4\]"
    with pytest.raises(CheckpointError, match=message):
        store.read_variables(1, shapes)


def test_choosing(tmp_path):
    reader = CheckpointReader(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match=r"`checkpoint` \(='newest'\) must be one of best, last"):
        reader.choose("newest")
    with pytest.raises(CheckpointError, match="has no checkpoint yet; the first is saved after an"):
        reader.choose("last")
    with CheckpointStore(reader.folder, keep=1) as store:
        store.save(state(1), {"best_step": 0})
    with pytest.raises(CheckpointError, match=r"has been evaluated yet, .* by --checkpoint last"):
        reader.choose("best")
    with CheckpointStore(reader.folder, keep=1) as store:
        store.save(state(2), {"best_step": 1})
    with pytest.raises(CheckpointError, match=r"best checkpoint .* cannot be used: it is not"):
        reader.choose("best")
    assert reader.choose("last") == (2, {})


@pytest.mark.parametrize("name", ["state/_METADATA", "state/manifest.ocdbt", "progress.json"])
def test_a_best_checkpoint_without_what_reading_needs(tmp_path, name):
    with CheckpointStore(tmp_path) as store:
        for step in (1, 2):
            store.save(state(step), {"best_step": 1})
    (tmp_path / "1" / name).unlink()
    write_manifest(tmp_path / "1")
    reader = CheckpointReader(tmp_path)
    with pytest.raises(CheckpointError, match=f"cannot be used: {name} is missing"):
        reader.choose("best")
    assert reader.choose("last") == (2, {})


def damaged_newest(folder, best_step, name):
    """Save 1 and 2, damage a file of the newer one, and return their reader."""
    with CheckpointStore(folder) as store:
        store.save(state(1), {"best_step": 1})
        store.save(state(2), {"best_step": best_step})
    path = folder / "2" / name
    path.write_bytes(path.read_bytes()[:-1])
    return CheckpointReader(folder)


@pytest.mark.parametrize("best_step", [1, 2])
def test_the_last_says_which_damaged_ones_it_passed_over(tmp_path, best_step):
    step, damages = damaged_newest(tmp_path, best_step, "state/_METADATA").choose("last")
    assert (step, list(damages)) == (1, [2])
    assert damages[2].startswith("state/_METADATA has ")


def test_the_best_before_a_damaged_one_is_the_best(tmp_path):
    """By what the damaged one has recorded, in a file that is whole."""
    step, damages = damaged_newest(tmp_path, 1, "state/_METADATA").choose("best")
    assert (step, list(damages)) == (1, [2])


def test_no_other_stands_for_a_damaged_best(tmp_path):
    reader = damaged_newest(tmp_path, 2, "state/_METADATA")
    message = (
        r"the best checkpoint .*2 cannot be used: state/_METADATA has .*; take the last whole one, "
        r"of step 1, by --checkpoint last, or train again from there by --resume$"
    )
    with pytest.raises(CheckpointError, match=message):
        reader.choose("best")


def test_the_best_is_not_guessed_where_its_record_is_damaged(tmp_path):
    """The damaged one may have been the best, whatever the one before says."""
    reader = damaged_newest(tmp_path, 1, "progress.json")
    message = r"which checkpoint of .* is the best is not known, because .*2 is damaged: progress"
    with pytest.raises(CheckpointError, match=f"{message}.* by --checkpoint last, or .* --resume"):
        reader.choose("best")


def test_none_is_whole(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(state(1), {})
        store.save(state(2), {})
    for step in (1, 2):
        (tmp_path / str(step) / "progress.json").unlink()
    message = r"is whole: in 2 progress\.json is missing; in 1 progress\.json is missing\. Put back"
    with pytest.raises(CheckpointError, match=message):
        store.newest_whole()


def test_progress_is_strict_json(tmp_path):
    with CheckpointStore(tmp_path) as store:
        with pytest.raises(ValueError, match=r"\['loss'\] is nan, which JSON cannot hold"):
            store.save(state(1), {"loss": float("nan")})
        store.save(state(1), {"rates": np.float32([0.5]), "step": np.int64(1)})
        store.wait()
        assert store.read_progress(1)["rates"] == [0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "is not a JSON object"),
        ('{"format": 1, "loss": NaN}', "cannot be read as JSON: NaN is not JSON"),
        ("{}", r"is not the progress of a run: `format` \(=None\) must be a whole number"),
        ('{"format": "1"}', r"`format` \(='1'\) must be a whole number"),
        ('{"format": true}', r"`format` \(=True\) must be a whole number"),
        ('{"format": 0}', r"`format` \(=0\) must be a whole number of at least 1"),
        (
            json.dumps({"format": FORMAT_VERSION + 1}),
            rf"has format {FORMAT_VERSION + 1}, .* up to {FORMAT_VERSION}; update resnet_jax",
        ),
    ],
)
def test_what_is_no_progress(tmp_path, text, message):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/progress.json").write_text(text)
    write_manifest(tmp_path / "1")
    with pytest.raises(CheckpointError, match=message) as error:
        CheckpointReader(tmp_path).read_progress(1)
    assert "\n" not in str(error.value)


def test_set_aside(tmp_path):
    """Each one under a name of its own, and saved anew afterwards."""
    places = []
    for _ in range(3):
        with CheckpointStore(tmp_path / "checkpoints") as store:
            store.save(state(1), {})
            store.wait()
            before = contents(store.folder / "1").values()
            places.append(store.set_aside(1))
            assert list(contents(places[-1]).values()) == list(before)
            store.reload()
            assert store.steps == []
    assert [place.relative_to(tmp_path).as_posix() for place in places] == [
        "damaged/1",
        "damaged/1-2",
        "damaged/1-3",
    ]
