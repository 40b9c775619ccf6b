"""The loop: what it records and prints, exact resume, and what it refuses."""

import dataclasses
import os
import signal
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from times import without_times
from tiny_task import (
    Falling,
    Small,
    assert_trees_equal,
    center_crop,
    digits,
    first_logit,
    quiet_reporter,
    tiny_task,
)

import resnet_jax as rj
from resnet_jax.data import Arrays
from resnet_jax.run import (
    CheckpointError,
    DataFacts,
    FitConfig,
    Identity,
    IdentityError,
    Interrupted,
    NonFiniteLossError,
    RunFolder,
    RunFolderError,
    Sink,
    SinkGroup,
    fit,
    read_log,
    steps_per_epoch,
)
from resnet_jax.training import Schedule, make_optimizer

CONFIG = FitConfig(epochs=3, batch_size=48, eval_batch_size=64, log_every=2, seed=5)
"""Three steps an epoch."""


def run(task, path=None, *, resume=False, config=CONFIG, reporter=None, **options):
    folder = None if path is None else RunFolder(path, resume=resume)
    return fit(task, config, folder=folder, reporter=reporter or quiet_reporter(), **options)


def log_of(folder):
    """Return the log without its times, which are different in every run."""
    return without_times(read_log(folder / "metrics.jsonl"))


@pytest.fixture(scope="module")
def small():
    """A task that compiles fast."""
    return tiny_task(model=Small(), prepare=center_crop)


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    folder, reporter = tmp_path_factory.mktemp("whole"), quiet_reporter()
    result = run(task, folder, reporter=reporter)
    return result, folder, reporter.console.file.getvalue()


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
    assert lines[1] == f"Epoch: 001/003 | Batch 0002/0003 | Loss: {result.history[0][2]:.4f}"
    assert lines[2] == (
        f"Epoch: 001/003 | Train: {result.history[1][0]:.2f}% | "
        f"Validation: {result.history[2][0]:.2f}%"
    )
    assert lines[3].startswith("Time elapsed: ")
    assert lines[-1].startswith("Total Training Time: ")


def test_the_log_holds_every_step_and_epoch(whole):
    result, folder, _ = whole
    events = list(read_log(folder / "metrics.jsonl"))
    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["step"] for event in steps] == list(range(1, 10))
    assert [event["loss"] for event in steps] == result.history.minibatch_losses
    assert [event["valid_accuracy"] for event in epochs] == result.history.valid_accuracy
    assert [event["learning_rate"] for event in epochs] == result.learning_rates


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
    assert_trees_equal(resumed.state, result.state)
    assert log_of(tmp_path) == log_of(folder)


def test_a_finished_run_resumes_to_the_same(task, whole):
    result, folder, _ = whole
    again = run(task, folder, resume=True)
    assert again.history == result.history
    assert_trees_equal(again.state, result.state)
    assert again.images_per_second is None


def test_the_seed_decides(task, whole):
    result, _, _ = whole
    assert run(task).history == result.history
    other = run(task, config=dataclasses.replace(CONFIG, seed=6, epochs=1))
    assert other.history[0] != result.history[0][:3]


def test_the_controller_lowers_the_rate(small):
    """Its metric always worsens: the rate falls after each epoch from the second on."""
    worse = rj.ReduceLROnPlateau(patience=0, threshold=1e9)
    result = run(dataclasses.replace(small, controller=worse))
    assert result.learning_rates == [0.05, 0.05, 0.005]


@pytest.mark.parametrize("watched", ["minibatch_loss", "valid_acc"])
def test_what_the_controller_watches(small, watched):
    seen = []

    class Spy(rj.ReduceLROnPlateau):
        def update(self, state, metric):
            seen.append(metric)
            return super().update(state, metric)

    config = dataclasses.replace(CONFIG, scheduler_on=watched, epochs=2)
    losses, _, valid = run(dataclasses.replace(small, controller=Spy()), config=config).history
    assert seen == ([losses[2], losses[5]] if watched == "minibatch_loss" else valid)


def test_training_accuracy_as_the_reference_takes_it(small):
    """Over the full batches alone: 144 of the 150 images."""
    config = dataclasses.replace(CONFIG, evaluate_as_trained=True, epochs=1)
    accuracy = run(small, config=config).history.train_accuracy[0]
    assert (accuracy * 144 / 100) % 1 == pytest.approx(0, abs=1e-9)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    """The losses are 0, -1, -2 and NaN; what was logged before it is in the log."""

    def loss(logits, labels):
        first = first_logit(logits, labels)
        return jnp.where(first < -2.5, jnp.nan, first)

    tx = make_optimizer(1.0, momentum=0.0)
    wild = tiny_task(model=Falling(), tx=tx, loss_fn=loss, prepare=center_crop)
    message = (
        r"loss of step 4 \(epoch 2, batch 1 of 3\) is nan at learning rate 1; try a lower learning "
        r"rate\. Checkpoints up to then are in .*checkpoints"
    )
    with pytest.raises(NonFiniteLossError, match=message):
        run(wild, tmp_path / "run")
    late = dataclasses.replace(CONFIG, batch_size=32, log_every=100)
    with pytest.raises(NonFiniteLossError, match=r"loss of step 4 \(epoch 1, batch 4 of 4\)"):
        run(wild, tmp_path / "late", config=late)
    assert [event["loss"] for event in log_of(tmp_path / "late")] == [0, -1, -2]


class Recorder(Sink):
    """Writes down its calls; `action` is called with each event."""

    def __init__(self, action=lambda event: None):
        self.action, self.calls, self.events = action, [], []

    def begin(self, start):
        self.calls.append("begin")
        self.start = start
        self.events = list(start.events)

    def log(self, event):
        self.action(event)
        self.events.append(dict(event))

    def finish(self):
        self.calls.append("finish")


@pytest.mark.parametrize("fails", [False, True])
def test_a_list_of_sinks_is_finished_and_a_group_is_not(small, fails):
    def fail(event):
        if fails and event["step"] == 2:
            raise RuntimeError("the sink failed")

    config = dataclasses.replace(CONFIG, epochs=1)
    for group, ended in ((False, ["begin", "finish"]), (True, ["begin"])):
        sink = Recorder(fail)
        try:
            run(small, config=config, sinks=SinkGroup([sink]) if group else [sink])
        except RuntimeError:
            assert fails
        assert sink.calls == ended


def test_sinks_get_the_log_and_what_the_run_is(small, tmp_path):
    first = Recorder()
    run(small, tmp_path / "run", config=dataclasses.replace(CONFIG, epochs=1), sinks=[first])
    second = Recorder()
    run(small, tmp_path / "run", resume=True, sinks=[second])
    assert (first.start.name, first.start.step, first.start.events) == ("run", 0, ())
    assert (second.start.name, second.start.step, len(second.start.events)) == ("run", 3, 4)
    assert second.start.run_id == first.start.run_id == RunFolder(tmp_path / "run").run_id
    assert second.events == list(read_log(tmp_path / "run/metrics.jsonl"))


@pytest.mark.parametrize("event", ["step", "epoch"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(small, tmp_path, number, event):
    """In an epoch, and at its end; the run goes on to the same numbers."""

    def stop(logged):
        if logged["step"] >= 3 and logged["event"] == event:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    message = rf"stopped by {number.name} after step \d, which is saved in .*checkpoints"
    with pytest.raises(Interrupted, match=message) as stopped:
        run(small, tmp_path / "run", sinks=[Recorder(stop)])
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    resumed = run(small, tmp_path / "run", resume=True)
    expected = run(small, tmp_path / "whole")
    assert resumed.history == expected.history
    assert_trees_equal(resumed.state, expected.state)
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_resuming_another_run(task, whole, tmp_path):
    _, folder, _ = whole
    with pytest.raises(RunFolderError, match=r"holds no run to resume; leave out --resume"):
        run(task, tmp_path, resume=True)
    with pytest.raises(IdentityError, match=r"`data` was None and is now 'other'"):
        run(task, folder, resume=True, identity=Identity({"data": "other"}))
    # A run that has not saved a value had its default.
    run(task, folder, resume=True, identity=Identity({"data": "own"}, {"data": "own"}))
    fewer = dataclasses.replace(CONFIG, epochs=2)
    with pytest.raises(CheckpointError, match=r"`epochs` \(=2\) must be at least 3, the"):
        run(task, folder, resume=True, config=fewer)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"`epochs` \(=0\) must be at least 1"),
        ({"batch_size": -1}, r"`batch_size` \(=-1\) must be at least 1"),
        ({"seed": -1}, r"`seed` \(=-1\) must be in"),
        ({"scheduler_on": "loss"}, r"`scheduler_on` \(='loss'\) must be 'valid_acc' or"),
        ({"parallel": "ddp"}, r"`parallel` \(='ddp'\) must be 'auto', 'jit' or 'pmap'"),
        ({"ema_decay": 1.0}, r"`ema_decay` \(=1.0\) must be at least 0 and below 1"),
        ({"resident_gigabytes": float("nan")}, r"`resident_gigabytes` \(=nan\) must be finite"),
    ],
)
def test_bad_configuration(values, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**values)


def test_nothing_is_written_before_the_task_is_known_to_fit(small, tmp_path):
    large = dataclasses.replace(CONFIG, batch_size=160)
    with pytest.raises(ValueError, match=r"`batch_size` \(=160\) must not exceed .* \(=150\)"):
        run(small, tmp_path / "run", config=large)
    wrong = dataclasses.replace(small, model=Small(num_classes=9))
    with pytest.raises(ValueError, match=r"the label of training image 9 \(=9\) must be in \[0, 9"):
        run(wrong, tmp_path / "run")
    assert not list(tmp_path.iterdir())
    assert steps_per_epoch(45_000, 256) == 175


def test_variables_to_start_from(task, whole, tmp_path):
    """A head trained on a frozen body, by an optimizer of optax; resumed in between."""
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
    assert_trees_equal(resumed.state, expected.state)


def test_variables_of_another_model(task, whole):
    variables = whole[0].state.variables
    message = r"`variables` has float32\[64, 7\] at params/fc/kernel, .* has float32\[64, 10\]"
    head = {**variables["params"]["fc"], "kernel": np.zeros((64, 7), np.float32)}
    wrong = {**variables, "params": {**variables["params"], "fc": head}}
    with pytest.raises(ValueError, match=message):
        run(dataclasses.replace(task, variables=wrong))
    with pytest.raises(ValueError, match="`variables` has nothing at batch_stats/bn1/mean"):
        run(dataclasses.replace(task, variables={"params": variables["params"]}))


def test_an_optimizer_without_a_learning_rate(small):
    with pytest.raises(ValueError, match=r"has no learning rate; make the optimizer by"):
        run(dataclasses.replace(small, tx=optax.sgd(0.1)))


def swept_task(kind):
    """Return a task in which every number may come from an array of candidates."""
    return tiny_task(
        model=Small(),
        prepare=center_crop,
        tx=make_optimizer(kind(0.5), kind(0.75), weight_decay=kind(0.125)),
        controller=rj.ReduceLROnPlateau(
            factor=kind(0.5), patience=kind(0), threshold=kind(0.25), min_lr=kind(0.125)
        ),
        schedule=Schedule("constant", kind(3), kind(2)),
    )


def swept_config(kind, epochs):
    return FitConfig(
        epochs=kind(epochs),
        batch_size=kind(48),
        eval_batch_size=kind(64),
        seed=kind(5),
        scheduler_on=np.str_("valid_acc") if kind is not plain else "valid_acc",
        ema_decay=kind(0.5),
        accumulate_steps=kind(1),
        resident_gigabytes=kind(2),
        log_every=kind(2),
        checkpoint_every=kind(2),
        checkpoint_minutes=kind(60),
        evaluate_as_trained=kind(False),
        parallel=np.str_("auto") if kind is not plain else "auto",
    )


def swept_identity(kind):
    return Identity(
        {"size": kind(8), "mean": kind(0.5), "on": kind(True), "sides": [kind(0), kind(1)]},
        {"new": kind(1)},
    )


def plain(value):
    return value


def scalar(value):
    """Return a NumPy scalar of 64 bits."""
    return np.asarray(value)[()]


def narrow(value):
    """Return a NumPy scalar of 32 bits, or less."""
    return np.float32(value) if isinstance(value, float) else scalar(value)


@pytest.fixture(scope="module")
def swept(small):
    """Return what the run of Python's numbers gives."""
    return run(swept_task(plain), config=swept_config(plain, 2))


@pytest.mark.parametrize(
    "kind", [scalar, narrow, np.asarray, jnp.asarray], ids=["scalar", "narrow", "array", "jax"]
)
@pytest.mark.parametrize("first", [True, False])
def test_numbers_of_a_sweep(tmp_path, swept, kind, first):
    """They train, are saved, and are the same as Python's when the run is resumed."""
    kinds = (kind, plain) if first else (plain, kind)
    for epochs, used in enumerate(kinds, start=1):
        sink = Recorder()
        folder = RunFolder(tmp_path, resume=epochs > 1)
        with folder:
            folder.check_options(Identity({"lr": used(0.5)}))
            folder.begin(
                {"lr": used(0.5), "epochs": used(2), "augment": (used(True),)},
                data=DataFacts(("a", np.str_("b")), used(8), (used(0.5),), (used(0.25),)),
            )
            resumed = fit(
                swept_task(used),
                swept_config(used, epochs),
                folder=folder,
                sinks=[sink],
                identity=swept_identity(used),
                reporter=quiet_reporter(),
            )
        assert repr(sink.start.config) == "{'lr': 0.5, 'epochs': 2, 'augment': [True]}"
        assert repr(folder.read_config()) == repr(sink.start.config)
    assert folder.read_data() == DataFacts(("a", "b"), 8, (0.5,), (0.25,))
    assert resumed.history == swept.history
    assert resumed.learning_rates == swept.learning_rates
    assert_trees_equal(resumed.state, swept.state)


def test_a_configuration_holds_numbers_of_python():
    for kind in (scalar, np.asarray, jnp.asarray):
        assert repr(swept_config(kind, 2)) == repr(swept_config(plain, 2))
    # From an array of floating-point candidates.
    assert repr(FitConfig(batch_size=np.float64(32))) == repr(FitConfig(batch_size=32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": np.float64(32.5)}, r"`batch_size` \(=32\.5\) must be a whole number"),
        ({"epochs": np.arange(2)}, r"`epochs` must be one value, not an array of shape \(2,\)"),
        ({"checkpoint_every": 1.5}, r"`checkpoint_every` \(=1\.5\) must be a whole number"),
        ({"seed": float("nan")}, r"`seed` \(=nan\) must be a whole number"),
    ],
)
def test_numbers_that_no_sweep_can_mean(values, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**values)


def test_two_runs_in_two_threads(small, tmp_path):
    """Neither disturbs the other, and the process is as before."""
    before = sys.unraisablehook
    results, both = {}, threading.Barrier(2, timeout=300)

    def train(name):
        # Each is inside of `fit` while the other one is.
        sink = Recorder(lambda event: both.wait() if event["step"] == 1 else None)
        results[name] = run(small, tmp_path / name, sinks=[sink])

    threads = [threading.Thread(target=train, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.unraisablehook is before
    assert results["one"].history == results["two"].history == run(small).history
    assert log_of(tmp_path / "one") == log_of(tmp_path / "two")


def test_no_images_but_those_of_the_task(small):
    """One evaluation takes each image once, however the batches are filled up."""
    few = dataclasses.replace(small, valid=digits(7, first=150))
    accuracy = run(few, config=dataclasses.replace(CONFIG, epochs=1)).history.valid_accuracy[0]
    assert (accuracy * 7 / 100) % 1 == pytest.approx(0, abs=1e-9)


def changed(images, **options):
    """Return the small task with other images for validation."""
    labels = np.zeros(len(images), np.int32)
    return tiny_task(valid=Arrays(np.ascontiguousarray(images), labels), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images[:0], "`valid` holds no image"),
        (
            lambda images: images.repeat(2, 1),
            r"`valid` has images of shape \(16, 8, 1\), but those",
        ),
        (lambda images: images.repeat(3, 3), r"those of `train` have \(8, 8, 1\), and `prepare_v"),
    ],
)
def test_images_that_the_first_evaluation_could_not_take_are_refused_before_training(
    tmp_path, change, message
):
    task = changed(change(digits(20).images))
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match=message) as error:
        fit(task, FitConfig(epochs=1, batch_size=16), folder=folder, reporter=quiet_reporter())
    assert "\n" not in str(error.value)
    assert not folder.path.exists()


@pytest.mark.parametrize("wrong", [{"folder": "runs/x"}, {"config": {"epochs": 1}}])
def test_what_is_no_folder_or_configuration_is_named(wrong):
    (name,) = wrong
    with pytest.raises(TypeError, match=rf"`{name}` \(=.*\) must be a "):
        fit(tiny_task(), **{"config": FitConfig(epochs=1), **wrong}, reporter=quiet_reporter())
