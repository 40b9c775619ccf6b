"""The store: what is kept, read back to the bit, and said when it cannot be."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.run import CheckpointError, CheckpointStore
from resnet_jax.storage.manifest import find_damage
from resnet_jax.training import TrainState, make_optimizer

TX = make_optimizer(0.1)


def state(step, width=3):
    params = {"kernel": jnp.arange(float(width)) + step}
    return TrainState(
        step=jnp.int32(step), params=params, batch_stats={}, opt_state=TX.init(params)
    )


def assert_equal(one, two):
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(left, right)


def test_saved_and_read(tmp_path):
    with CheckpointStore(tmp_path / "checkpoints") as store:
        assert store.newest_whole() == (None, {})
        assert not store.folder.exists()
        store.save(state(4), {"note": [1, 0.1]})
        store.wait()
        assert store.newest_whole() == (4, {})
        assert store.read_progress(4) == {"format": 1, "note": [1, 0.1]}
        assert_equal(store.read_state(4, state(0)), state(4))
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
            assert_equal(
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


def test_a_failing_save_is_an_error(tmp_path, monkeypatch):
    """By the next save, or by the end of the context."""
    monkeypatch.setattr(
        "resnet_jax.run.checkpoints.write_manifest",
        lambda folder: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    message = r"cannot save the checkpoint of step 1 in .*: .*No space left on device"
    store = CheckpointStore(tmp_path)
    with pytest.raises(CheckpointError, match=message), store:
        store.save(state(1), {})
    assert store.steps == []
    with CheckpointStore(tmp_path) as store:
        store.save(state(1), {})
        with pytest.raises(CheckpointError, match=message):
            store.save(state(2), {})


def test_read_only(tmp_path):
    with CheckpointStore(tmp_path / "a") as store:
        store.save(state(3), {})
    (tmp_path / "a" / "5.orbax-checkpoint-tmp").mkdir()
    with CheckpointStore(tmp_path / "a", read_only=True) as store:
        assert_equal(store.read_state(3, state(0)), state(3))
    assert (tmp_path / "a" / "5.orbax-checkpoint-tmp").is_dir()


def test_progress_is_strict_json(tmp_path):
    with CheckpointStore(tmp_path) as store:
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.save(state(1), {"loss": float("nan")})
        store.save(state(1), {})
    path = tmp_path / "1/progress.json"
    for text in ("", "[]", "{}", '{"format": 1, "loss": NaN}', json.dumps({"format": "1"})):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="is not the progress of a run"):
            store.read_progress(1)
