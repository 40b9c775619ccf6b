"""What the training accuracy of an epoch is taken over: all images, those of its steps, or none."""

import dataclasses

import jax
import numpy as np
import pytest
from tiny_task import Falling, StopAt, digits, first_logit, quiet_reporter, tiny_task

from resnet_jax.data import Arrays
from resnet_jax.run import FitConfig, IdentityError, RunFolder, fit, read_log

CONFIG = FitConfig(epochs=2, batch_size=48, eval_batch_size=64, checkpoint_every=1, log_every=1)
"""Three steps an epoch."""


def as_is(images, labels, keys):
    """Prepare a batch."""
    del keys
    return images.astype(np.float32), labels


def task():
    """Return a task whose network says class 0 in the first step, and ever after 1, the truth."""
    images = digits(150).images
    train = Arrays(images, np.ones(150, np.int32))
    return tiny_task(
        model=Falling(), loss_fn=first_logit, train=train, prepare=as_is, prepare_valid=as_is
    )


def run(train_accuracy, folder=None, *, sinks=(), resume=False, **changes):
    """Return the result of a run, and what it has printed."""
    reporter = quiet_reporter()
    config = dataclasses.replace(CONFIG, train_accuracy=train_accuracy, **changes)
    folder = None if folder is None else RunFolder(folder, resume=resume)
    result = fit(task(), config, folder=folder, sinks=sinks, reporter=reporter)
    return result, reporter.console.file.getvalue()


@pytest.mark.parametrize("changes", [{}, {"accumulate_steps": 2}, {"parallel": "pmap"}])
def test_running_counts_what_each_step_said(changes):
    result, printed = run("running", **changes)
    assert result.history.train_accuracy == pytest.approx([200 / 3, 100.0])
    assert "| Train (running): 66.67% | Validation: " in printed


def test_full_is_the_default_and_is_taken_after_the_epoch():
    result, printed = run(FitConfig.train_accuracy)
    assert result.history.train_accuracy == [100.0, 100.0]
    assert "| Train: 100.00% | Validation: " in printed


def test_none_leaves_it_out(tmp_path):
    result, printed = run("none", tmp_path / "run")
    assert result.history.train_accuracy == []
    assert len(result.history.valid_accuracy) == 2
    assert "Train:" not in printed
    assert "| Validation: " in printed
    epochs = [e for e in read_log(tmp_path / "run" / "metrics.jsonl") if e["event"] == "epoch"]
    assert len(epochs) == 2
    assert not any("train_accuracy" in event for event in epochs)


@pytest.mark.parametrize("train_accuracy", ["running", "none"])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_resumed_run_counts_on(train_accuracy, step, tmp_path):
    whole, _ = run(train_accuracy)
    with pytest.raises(KeyboardInterrupt):
        run(train_accuracy, tmp_path / "run", sinks=[StopAt(step)])
    resumed, _ = run(train_accuracy, tmp_path / "run", resume=True)
    assert resumed.history == whole.history


def test_another_kind_is_not_resumed(tmp_path):
    run("running", tmp_path / "run", epochs=1)
    with pytest.raises(IdentityError, match="`train_accuracy` was 'running' and is now 'full'"):
        run("full", tmp_path / "run", resume=True)


def test_the_kinds_do_not_change_the_training():
    losses = [run(kind)[0].history.minibatch_losses for kind in ("full", "running", "none")]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_accuracy": "some"}, r"`train_accuracy` \(='some'\) must be 'full', 'running' or"),
        ({"train_accuracy": "none", "evaluate_as_trained": True}, "must be 'full' with"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**changes)


def test_mixed_labels_cannot_be_counted():
    def mixed(images, labels, keys):
        images, labels = as_is(images, labels, keys)
        return images, jax.nn.one_hot(labels, 10)

    config = dataclasses.replace(CONFIG, train_accuracy="running")
    with pytest.raises(ValueError, match=r"`labels` .* must be integers"):
        fit(dataclasses.replace(task(), prepare=mixed), config, reporter=quiet_reporter())
