"""The accelerator's benchmark: a failing side is noted, and the command runs on the CPU."""

import argparse
import json
import os
import time

import jax
import pytest

from experiments.benchmarks import accelerator
from experiments.benchmarks.accelerator_report import Report
from experiments.benchmarks.bench import RESIDENT_SET, Bench, Built
from experiments.benchmarks.harness import Failure
from experiments.benchmarks.turns import Deadline, Result, Side, measure

MIB = 2**20


class Sleeping(Bench):
    """A job that sleeps for some milliseconds."""

    def __init__(self, milliseconds=1):
        super().__init__()
        self._seconds_each = milliseconds / 1e3

    def make(self, job):
        return lambda count: time.sleep(count * self._seconds_each)


class Allocating(Sleeping):
    """A job that takes memory while it runs."""

    def make(self, job):
        def loop(count):
            kept = bytearray(os.urandom(MIB)) * 64
            del kept

        return loop


class WithoutMemory(Sleeping):
    """Lacks memory for one job, unless a file of another process is gone."""

    def __init__(self, beside=None):
        super().__init__()
        self._beside = beside

    def make(self, job):
        if job == "train step" and (self._beside is None or self._beside.exists()):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 GiB")
        return super().make(job)


class Holding(Sleeping):
    """Keeps a file while its process lives, as a process keeps a device's memory."""

    def __init__(self, path):
        super().__init__()
        self._path = path
        path.touch()

    def turn(self, job):
        done = super().turn(job)
        if job == "train step":  # its last
            self._path.unlink()
        return done


class Crashing(Sleeping):
    """A job that ends the process in its second turn, as a crash of a driver does."""

    def turn(self, job):
        if self._turns == 2:
            os._exit(7)
        self._turns += 1
        return super().turn(job)

    _turns = 1


class Hanging(Sleeping):
    """A job that never ends."""

    def make(self, job):
        return lambda count: time.sleep(1000)


def in_environment():
    return Sleeping(int(os.environ["A_SIDE_OF_A_TEST"]))


def unmakeable():
    raise ValueError("no such device")


def reasons(found, side):
    return [found[job][side].reason for job in accelerator.JOBS]


def measured(sides, repeats=1, deadline=None):
    return measure(sides, accelerator.JOBS, repeats=repeats, deadline=deadline or Deadline())


def test_times_are_those_of_one_repetition():
    found = measured({"slow": Side(Sleeping, {"milliseconds": 40}), "fast": Side(Sleeping)})
    for of_sides in found.values():
        assert 0.04 <= of_sides["slow"].seconds < 40  # a repetition sleeps 40 ms, a turn 0.5 s
        assert of_sides["slow"].built.repetitions <= 13
        assert of_sides["fast"].built.repetitions > of_sides["slow"].built.repetitions
        assert not of_sides["fast"].alone


def test_a_peak_is_that_of_the_job():
    (built,) = (sides["it"].built for sides in [measured({"it": Side(Allocating)})["forward"]])
    assert built.memory_source == RESIDENT_SET
    assert 60 * MIB < built.peak_bytes < 200 * MIB


def test_the_environment_of_a_side_is_its_own():
    found = measured(
        {
            "with": Side(in_environment, environment={"A_SIDE_OF_A_TEST": "1"}),
            "without": Side(in_environment),
        }
    )
    assert isinstance(found["forward"]["with"], Result)
    assert reasons(found, "without") == ["KeyError: 'A_SIDE_OF_A_TEST'"] * 2


def test_a_side_that_fails_does_not_end_the_others():
    found = measured(
        {
            "good": Side(Sleeping),
            "memory": Side(WithoutMemory),
            "crash": Side(Crashing),
            "none": Side(unmakeable),
        },
        repeats=2,
    )
    assert all(found[job]["good"].turns == 2 for job in accelerator.JOBS)
    assert isinstance(found["forward"]["memory"], Result)
    short = found["train step"]["memory"]
    assert short.out_of_memory
    assert "trying to allocate 8 GiB" in short.reason
    # What it did before stays.
    assert [found[job]["crash"].turns for job in accelerator.JOBS if job == "forward"] == [1]
    assert reasons(found, "none") == ["ValueError: no such device"] * 2


def test_a_process_that_ends_says_with_which_code():
    found = measured({"good": Side(Sleeping), "crash": Side(Crashing)}, repeats=1)
    assert isinstance(found["forward"]["crash"], Result)
    assert found["train step"]["crash"].reason == "a benchmark's process ended with code 7"


def test_a_side_that_lacks_memory_beside_the_others_is_measured_alone(tmp_path):
    path = tmp_path / "held"
    found = measured(
        {
            "holding": Side(Holding, {"path": path}),
            "short": Side(WithoutMemory, {"beside": path}),
        }
    )
    assert not found["forward"]["short"].alone
    assert found["train step"]["short"].alone
    assert not found["train step"]["holding"].alone


def test_a_side_that_hangs_is_ended_when_the_time_is_up():
    found = measured({"hanging": Side(Hanging)}, deadline=Deadline(5))
    for reason in reasons(found, "hanging"):
        assert reason.startswith("the time was up: ended because it gave no answer within")


def report():
    built = Built(1.5, 10, 3_000_000, RESIDENT_SET)
    ours = Result(0.010, 0.01, None, 5, built)
    theirs = Result(0.015, 0.01, None, 5, built, alone=True)
    short = Failure("MemoryError: 8 GiB", "", out_of_memory=True)
    made = Report(
        facts={
            "date": "2026-11-26T01:02:03+00:00",
            "machine": {"processor": "P", "cores": 2, "load": [0], "versions": {"jax": "1"}},
            "libraries": {"jax": {"platform": "gpu", "chip": "Chip X"}},
            "repeats": 5,
            "pixels": 224,
            "epoch_images": 50_000,
        },
        unavailable={"torch": "torch is not installed"},
        left_out=["epoch network resnet18"],
    )
    facts = {"network": "resnet18", "batch": 32, "job": "forward"}
    made.add("steps", facts, 32, {"ours": ours, "flax": theirs})
    made.add("steps", {**facts, "batch": 64}, 64, {"ours": ours, "flax": short})
    return made


def test_the_table():
    text = "\n".join(report().lines())
    assert text.startswith("# Benchmark on Chip X, 2026-11-26")
    assert "| resnet18 | 32 | forward | 10.00 | 15.00 | 1.50 | 3200 | 2133 |" in text
    assert "| resnet18 | 64 | forward | 10.00 | out of memory |  | 6400 |  |" in text
    assert "| resnet18 | 32 | forward | 1.5 | 1.5 | 3 | 3 |" in text
    assert "- resnet18 32 forward, flax: measured alone" in text
    assert "- resnet18 64 forward, flax: MemoryError: 8 GiB" in text
    assert "- torch cannot run: torch is not installed" in text
    assert text.endswith("- epoch network resnet18")


def test_the_table_says_how_many_turns_were_timed():
    made = report()
    assert "- Medians of 5 turns, all sides" in "\n".join(made.lines())
    cut = Result(0.020, 0.01, None, 2, Built(1.5, 10, 3_000_000, RESIDENT_SET))
    made.add("steps", {"network": "resnet34", "batch": 32, "job": "forward"}, 32, {"ours": cut})
    assert "- Medians of 2 to 5 turns (of 5), all sides" in "\n".join(made.lines())


def test_the_files(tmp_path):
    report().save(tmp_path)
    values = json.loads((tmp_path / "accelerator.json").read_text())
    assert values["chip"] == "Chip X"
    assert values["rows"][0]["sides"]["flax"]["first_seconds"] == 1.5
    assert values["rows"][1]["sides"]["flax"] == {
        "failed": "MemoryError: 8 GiB",
        "out_of_memory": True,
    }
    assert (tmp_path / "accelerator.md").read_text().startswith("# Benchmark on Chip X")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_computes_in_the_type_that_is_asked_for(dtype):
    import torch

    from experiments.benchmarks.torch_bench import random_crops
    from experiments.benchmarks.torch_side import TorchTrainer

    trainer = TorchTrainer("resnet18", "channels_last", dtype=dtype)
    images = trainer.images(torch.zeros(2, 3, 32, 32))
    assert trainer.logits(images).dtype == getattr(torch, dtype)
    assert torch.isfinite(trainer.train(images, torch.tensor([0, 1])))
    assert {value.dtype for value in trainer.network.parameters()} == {torch.float32}
    assert random_crops(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 3, 32, 32)


@pytest.fixture
def torch_threads():
    """Leave torch its threads, which a side changes in its process."""
    import torch

    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("part", ["input", "epoch"])
def test_the_sides_of_a_part(part, torch_threads):
    """Each is built and run in this process, which keeps compiled programs between runs."""
    options = argparse.Namespace(parts=[part], networks=["resnet18"], dtypes=["float32"])
    sizes = accelerator.Sizes(side=32, batch_sizes=(2,), epoch_images=5)
    (cell,) = accelerator.cells(options, ["ours", "flax", "torch"], sizes)
    names = ["ours", "Pillow"] if part == "input" else ["ours", "flax", "torch"]
    assert list(cell.sides) == names
    assert (cell.facts["batch"], cell.images) == (2, 2 if part == "input" else 4)
    for side in cell.sides.values():
        built = side.make(**side.arguments).build(*cell.jobs)
        assert built.first_seconds > 0
        assert built.memory_source == RESIDENT_SET


def test_what_is_measured_when_nothing_is_said():
    """A network and a type with all its batch sizes, and then its epoch."""
    options = argparse.Namespace(
        parts=accelerator.PARTS, networks=accelerator.NETWORKS, dtypes=accelerator.DTYPES
    )
    sides = ["ours", "torch-compile"]
    found = list(accelerator.cells(options, sides, accelerator.ON_ACCELERATOR))
    assert [cell.name for cell in found[:7]] == [
        "input batch 32",
        "input batch 128",
        "input batch 256",
        "steps network resnet18 dtype float32 batch 32",
        "steps network resnet18 dtype float32 batch 128",
        "steps network resnet18 dtype float32 batch 256",
        "epoch network resnet18 dtype float32 batch 256",
    ]
    assert len(found) == 3 + 4 * 2 * 4
    assert found[-1].images == 50_000 // 256 * 256
    compiled = found[3].sides["torch-compile"]
    assert compiled.arguments["compiled"]
    assert compiled.environment == {"JAX_PLATFORMS": "cpu"}
    assert found[3].sides["ours"].environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_the_command_on_the_cpu(tmp_path, monkeypatch, capsys):
    """The steps of the smallest network, and what is there is not replaced."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    # The processes of the sides know nothing of the settings of the tests.
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    command = [
        *("--networks", "resnet18", "--dtypes", "float32", "--sides", "ours", "flax", "torch"),
        *("--parts", "steps", "--batch-sizes", "2", "--side", "32", "--repeats", "1"),
        *("--out", str(tmp_path)),
    ]
    assert accelerator.main(command) == 0
    values = json.loads((tmp_path / "accelerator.json").read_text())
    assert [row["job"] for row in values["rows"]] == ["forward", "train step"]
    for row in values["rows"]:
        assert list(row["sides"]) == ["ours", "flax", "torch"]
        for found in row["sides"].values():
            assert found["seconds"] > 0
            assert found["first_seconds"] > 0
            assert found["peak_bytes"] > 0
    assert values["rows"][1]["sides"]["ours"]["compiled_bytes"] > 0
    assert (values["left_out"], values["unavailable"]) == ([], {})
    printed = capsys.readouterr().out
    assert (tmp_path / "accelerator.md").read_text() in printed

    assert accelerator.main(command) == 2
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert json.loads((tmp_path / "accelerator.json").read_text()) == values


def test_without_time_nothing_is_measured_and_the_files_say_so(tmp_path):
    command = ["--minutes", "0", "--out", str(tmp_path / "new"), "--sides", "ours"]
    assert accelerator.main([*command, "--networks", "resnet18"]) == 0
    values = json.loads((tmp_path / "new" / "accelerator.json").read_text())
    assert values["rows"] == []
    # A library hardly loads in the second that it is left.
    assert values["left_out"] or "gave no answer" in values["unavailable"]["ours"]
