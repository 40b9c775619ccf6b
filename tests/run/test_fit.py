"""The loop: what it records and prints, exact resume, and what it refuses."""

import dataclasses
import io

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

import resnet_jax as rj
from resnet_jax.run import (
    CheckpointError,
    FitConfig,
    NonFiniteLossError,
    Reporter,
    fit,
    read_log,
    steps_per_epoch,
)
from resnet_jax.training import make_optimizer

CONFIG = FitConfig(epochs=3, batch_size=48, eval_batch_size=64, log_every=2, seed=5)


def quiet():
    return Reporter(Console(file=io.StringIO()))


def run(task, run_dir=None, *, config=CONFIG, reporter=None, **options):
    return fit(task, config, run_dir=run_dir, reporter=reporter or quiet(), **options)


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    output = io.StringIO()
    return run(task, folder, reporter=Reporter(Console(file=output))), folder, output.getvalue()


def test_history(whole):
    result, _, _ = whole
    losses, train, valid = result.history
    assert (len(losses), len(train), len(valid)) == (9, 3, 3)
    assert losses[-1] < losses[0]
    # Multiples of one image.
    assert all((a * 150 / 100) % 1 == pytest.approx(0, abs=1e-9) for a in train)
    assert result.best_epoch == 1 + valid.index(max(valid))
    assert result.best_step == 3 * result.best_epoch
    assert result.images_per_second > 0


def test_printed_lines(whole):
    result, _, output = whole
    lines = output.splitlines()
    assert lines[0] == f"Epoch: 001/003 | Batch 0000/0003 | Loss: {result.history[0][0]:.4f}"
    assert lines[2] == (
        f"Epoch: 001/003 | Train: {result.history[1][0]:.2f}% | "
        f"Validation: {result.history[2][0]:.2f}%"
    )
    assert lines[3].startswith("Time elapsed: ")
    assert lines[-1].startswith("Total Training Time: ")


def test_the_log_holds_every_step_and_epoch(whole):
    result, folder, _ = whole
    records = list(read_log(folder / "metrics.jsonl"))
    steps = [record for record in records if record["event"] == "step"]
    epochs = [record for record in records if record["event"] == "epoch"]
    assert [record["step"] for record in steps] == list(range(1, 10))
    assert [record["loss"] for record in steps] == result.history.minibatch_losses
    assert [record["valid_accuracy"] for record in epochs] == result.history.valid_accuracy
    assert [record["learning_rate"] for record in epochs] == result.learning_rates


def test_last_and_best_checkpoints_stay(whole):
    result, folder, _ = whole
    kept = {int(path.name) for path in (folder / "checkpoints").iterdir()}
    assert kept == {6, 9, result.best_step}


def test_resume_equals_an_uninterrupted_run(task, whole, tmp_path):
    result, folder, _ = whole
    run(task, tmp_path, config=dataclasses.replace(CONFIG, epochs=1))
    run(task, tmp_path, config=dataclasses.replace(CONFIG, epochs=2), resume=True)
    resumed = run(task, tmp_path, resume=True)
    assert resumed.history == result.history
    assert resumed.learning_rates == result.learning_rates
    for one, two in zip(jax.tree.leaves(result.state), jax.tree.leaves(resumed.state), strict=True):
        np.testing.assert_array_equal(one, two)
    logs = [list(read_log(path / "metrics.jsonl")) for path in (folder, tmp_path)]
    for log in logs:
        for record in log:
            record.pop("seconds", None)
    assert logs[0] == logs[1]


def test_a_finished_run_resumes_to_the_same(task, whole):
    result, folder, _ = whole
    again = run(task, folder, resume=True)
    assert again.history == result.history
    assert again.images_per_second is None


def test_the_seed_decides(task, whole):
    result, _, _ = whole
    assert run(task).history == result.history
    other = run(task, config=dataclasses.replace(CONFIG, seed=6, epochs=1))
    assert other.history[0] != result.history[0][:3]


def test_the_controller_lowers_the_rate(task):
    """A metric that always worsens: the rate falls after each epoch from the second on."""
    worse = dataclasses.replace(task, controller=rj.ReduceLROnPlateau(patience=0, threshold=1e9))
    result = run(worse)
    assert result.learning_rates == pytest.approx([0.05, 0.05, 0.005])


def test_the_controller_watches_the_minibatch_loss(task):
    watched = []

    class Spy(rj.ReduceLROnPlateau):
        def update(self, state, metric):
            watched.append(metric)
            return super().update(state, metric)

    config = dataclasses.replace(CONFIG, scheduler_on="minibatch_loss", epochs=2)
    result = run(dataclasses.replace(task, controller=Spy()), config=config)
    assert watched == [result.history[0][2], result.history[0][5]]


def test_training_accuracy_as_the_reference_takes_it(task):
    """Over the full batches alone: 144 of the 150 images."""
    config = dataclasses.replace(CONFIG, evaluate_as_trained=True, epochs=1)
    accuracy = run(task, config=config).history.train_accuracy[0]
    assert (accuracy * 144 / 100) % 1 == pytest.approx(0, abs=1e-9)


def test_a_loss_that_is_not_finite_stops_the_run(task, tmp_path):
    wild = dataclasses.replace(task, tx=make_optimizer(1e30))
    with pytest.raises(NonFiniteLossError, match=r"loss of step \d+ \(epoch 1, batch \d of 3\) is"):
        run(wild, tmp_path)


def test_bad_resumes(task, whole, tmp_path):
    _, folder, _ = whole
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        run(task, tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"`data` was None and is now 'other'"):
        run(task, folder, resume=True, identity={"data": "other"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"`epochs` \(=0\) must be at least 1"),
        ({"batch_size": -1}, r"`batch_size` \(=-1\) must be at least 1"),
        ({"seed": -1}, r"`seed` \(=-1\) must be in"),
        ({"scheduler_on": "loss"}, r"`scheduler_on` \(='loss'\) must be 'valid_acc' or"),
        ({"parallel": "ddp"}, r"`parallel` \(='ddp'\)"),
    ],
)
def test_bad_configuration(values, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**values)


def test_more_than_there_is(task, tmp_path):
    with pytest.raises(ValueError, match=r"`batch_size` \(=160\) must not exceed .* \(=150\)"):
        run(task, tmp_path, config=dataclasses.replace(CONFIG, batch_size=160))
    assert not list(tmp_path.iterdir())
    assert steps_per_epoch(45_000, 256) == 175


def test_variables_to_start_from(task, whole, tmp_path):
    """A head trained beside a body at rest, on an optimizer of optax; resumed in between."""
    result, _, _ = whole
    variables = jax.tree.map(np.asarray, result.state.variables)

    def part_rates(learning_rate):
        parts = {"head": optax.sgd(learning_rate), "body": optax.set_to_zero()}
        return optax.multi_transform(parts, lambda params: {n: part(n) for n in params})

    def part(name):
        return "head" if name == "fc" else "body"

    tx = optax.inject_hyperparams(part_rates)(learning_rate=0.1)
    tuned = dataclasses.replace(task, tx=tx, variables=variables)
    expected = run(tuned, config=dataclasses.replace(CONFIG, epochs=2))
    assert expected.history[0][0] < result.history[0][0]
    for name, before in variables["params"].items():
        same = jax.tree.map(np.array_equal, before, expected.state.params[name])
        assert all(jax.tree.leaves(same)) == (name != "fc")

    run(tuned, tmp_path, config=dataclasses.replace(CONFIG, epochs=1))
    resumed = run(tuned, tmp_path, config=dataclasses.replace(CONFIG, epochs=2), resume=True)
    assert resumed.history == expected.history
    for one, two in zip(
        jax.tree.leaves(expected.state), jax.tree.leaves(resumed.state), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_variables_of_another_model(task, whole):
    variables = whole[0].state.variables
    message = r"`variables` has float32\[64, 7\] at params/fc/kernel, .* has float32\[64, 10\]"
    head = {**variables["params"]["fc"], "kernel": np.zeros((64, 7), np.float32)}
    wrong = {**variables, "params": {**variables["params"], "fc": head}}
    with pytest.raises(ValueError, match=message):
        run(dataclasses.replace(task, variables=wrong))
    with pytest.raises(ValueError, match="`variables` has nothing at batch_stats/bn1/mean"):
        run(dataclasses.replace(task, variables={"params": variables["params"]}))


def test_an_optimizer_without_a_learning_rate(task):
    with pytest.raises(ValueError, match=r"has no learning rate; make the optimizer by"):
        run(dataclasses.replace(task, tx=optax.sgd(0.1)))
