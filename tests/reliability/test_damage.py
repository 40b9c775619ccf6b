"""Damaged checkpoints: named, set aside and passed over; with none whole, nothing is touched."""

import json
import shutil

import pytest

from resnet_jax.run import CheckpointError
from resnet_jax.storage import find_damage

from .runs import assert_same, contents

BOOKKEEPING = {"_CHECKPOINT_METADATA", "commit_success.txt"}
"""Of Orbax; without consequence."""


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


DAMAGES = (remove, empty, truncate, flip_a_bit)


@pytest.fixture
def copy(whole, tmp_path):
    """Return a copy of the uninterrupted run, whose newest checkpoints are 21 and 24."""
    shutil.copytree(whole[1], tmp_path / "run")
    return tmp_path / "run"


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_every_file_and_every_damage_is_noticed(copy):
    checkpoint = copy / "checkpoints/24"
    assert find_damage(checkpoint) is None
    assert len(files(checkpoint)) > 8
    for path in files(checkpoint):
        name = path.relative_to(checkpoint).as_posix()
        before = path.read_bytes()
        for damage in DAMAGES:
            damage(path)
            found = find_damage(checkpoint)
            if name in BOOKKEEPING:
                assert found is None
            elif name == "manifest.json":
                # Another name or digest in it makes some file differ.
                assert found is not None
            else:
                assert found is not None
                assert found.startswith(name)
            path.write_bytes(before)
    assert find_damage(checkpoint) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_run_goes_on_from_the_newest_whole_one(run, whole, copy, damage):
    checkpoint = copy / "checkpoints/24"
    path = next(path for path in files(checkpoint / "state") if "ocdbt.process_0/d" in str(path))
    damage(path)
    damaged = contents(checkpoint)
    result = run(copy, resume=True)
    assert (
        f"Warning: checkpoint 24 is damaged (state/{path.relative_to(checkpoint / 'state')} "
        in (run.output)
    )
    assert "Resuming after step 21" in run.output
    # Set aside as it was, not deleted.
    assert contents(copy / "damaged/24") == damaged
    assert_same(copy, result, whole)
    assert find_damage(checkpoint) is None


def test_bookkeeping_of_orbax_is_without_consequence(run, whole, copy):
    for name in BOOKKEEPING:
        (copy / "checkpoints/24" / name).write_bytes(b"\xff")
    assert_same(copy, run(copy, resume=True), whole)


def test_half_written(run, whole, copy):
    """A folder that has its name but not its manifest, one without a name, and other things."""
    (copy / "checkpoints/24/manifest.json").unlink()
    shutil.copytree(copy / "checkpoints/21", copy / "checkpoints/30.orbax-checkpoint-tmp")
    (copy / "checkpoints/31").mkdir()
    (copy / "checkpoints/032").mkdir()
    (copy / "checkpoints/33").write_text("a file")
    (copy / "checkpoints/notes").mkdir()
    assert_same(copy, run(copy, resume=True), whole)
    assert "checkpoint 31 is damaged (manifest.json is missing)" in run.output
    assert "checkpoint 24 is damaged (manifest.json is missing)" in run.output
    assert "Resuming after step 21" in run.output
    assert not (copy / "checkpoints/30.orbax-checkpoint-tmp").exists()
    assert sorted(path.name for path in (copy / "damaged").iterdir()) == ["24", "31"]


def test_damaged_twice(run, whole, copy):
    for _ in range(2):
        empty(copy / "checkpoints/24/progress.json")
        run(copy, resume=True)
    assert sorted(path.name for path in (copy / "damaged").iterdir()) == ["24", "24-2"]


def test_all_damaged(run, copy):
    for checkpoint in (copy / "checkpoints").iterdir():
        flip_a_bit(checkpoint / "progress.json")
    before = contents(copy)
    with pytest.raises(CheckpointError, match=r"is whole: in 24 progress.json has other contents"):
        run(copy, resume=True)
    assert contents(copy) == before


def test_a_manifest_cannot_lead_outside(copy, tmp_path):
    checkpoint = copy / "checkpoints/24"
    (tmp_path / "secret").write_text("x")
    for name in ("../../../secret", str(tmp_path / "secret")):
        entry = {"bytes": 1, "sha256": "0"}
        (checkpoint / "manifest.json").write_text(json.dumps({"files": {name: entry}}))
        assert "which is outside" in find_damage(checkpoint)


def test_a_damaged_log_is_written_anew(run, whole, copy):
    """All that it held is in the checkpoint."""
    for text in ("", "nonsense\n", '{"event": "step", "step": 1}\n' * 3):
        (copy / "metrics.jsonl").write_text(text)
        assert_same(copy, run(copy, resume=True), whole)
    (copy / "metrics.jsonl").unlink()
    assert_same(copy, run(copy, resume=True), whole)
