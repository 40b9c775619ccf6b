"""The averages of parameters and statistics: by hand, in a run, resumed, and where they count."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_task import Small, assert_trees_equal, quiet_reporter, tiny_task

from resnet_jax.data import Transform
from resnet_jax.data.augment import Flip, Mixup, PadCrop, Pipeline
from resnet_jax.run import FitConfig, IdentityError, RunFolder, fit, read_log
from resnet_jax.training import (
    Batch,
    Schedule,
    create_state,
    cross_entropy,
    make_optimizer,
    make_train_step,
)
from resnet_jax.training.ema import update_ema

CONFIG = FitConfig(
    epochs=2, batch_size=48, eval_batch_size=64, seed=5, ema_decay=0.9, checkpoint_every=2
)


def test_the_start_and_the_limit():
    average = jnp.float32(0)
    for step in range(1, 4):
        average = update_ema(average, jnp.float32(1), jnp.int32(step), 0.9)
    # 1 - 2/11 · 3/12 · 4/13
    assert float(average) == pytest.approx(1 - 2 / 11 * 3 / 12 * 4 / 13)
    late = update_ema(jnp.float32(0), jnp.float32(1), jnp.int32(10_000), 0.9)
    assert float(late) == pytest.approx(0.1)


@pytest.mark.parametrize(("ema", "decay"), [(True, 0.0), (False, 0.9)])
def test_a_step_and_its_state_agree_about_averages(ema, decay):
    """Averages that no step moves would be evaluated instead of what is trained."""
    tx = make_optimizer(0.1)
    state = create_state(Small(), tx, jax.random.key(0), (1, 8, 8, 1), ema=ema)
    step = make_train_step(Small(), tx, ema_decay=decay)
    batch = Batch(jnp.zeros((8, 8, 8, 1)), jnp.zeros(8, jnp.int32))
    message = rf"`ema_decay` \(={decay}\) must be (above 0 for a state with|0 for a state without)"
    with pytest.raises(ValueError, match=message):
        step(state, batch, jax.random.key(1))


@pytest.fixture(scope="module")
def modern():
    """Everything at once: augmentations, soft labels, a schedule, averages."""
    transform = Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,))
    return tiny_task(
        model=Small(),
        tx=make_optimizer(0.05, weight_decay=5e-4, decay_kernels_only=True, nesterov=True),
        controller=None,
        prepare=Pipeline(transform, (PadCrop(1), Flip(), Mixup(0.2)), 10),
        schedule=Schedule("cosine", total_steps=6, warmup_steps=2),
        loss_fn=partial(cross_entropy, label_smoothing=0.1),
    )


def run(task, path=None, *, config=CONFIG, resume=False):
    folder = None if path is None else RunFolder(path, resume=resume)
    return fit(task, config, folder=folder, reporter=quiet_reporter())


@pytest.fixture(scope="module")
def whole(modern, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(modern, folder), folder


def test_the_averages_are_what_is_evaluated(whole):
    state = whole[0].state
    assert state.variables is state.ema
    for average, last in zip(
        jax.tree.leaves(state.ema["params"]), jax.tree.leaves(state.params), strict=True
    ):
        assert (average != last).any() or (last == 0).all()
    statistics = jax.tree.leaves(state.ema["batch_stats"])
    assert all(np.isfinite(leaf).all() for leaf in statistics)


def test_the_log_has_the_schedules_rates(whole, modern):
    result, folder = whole
    events = list(read_log(folder / "metrics.jsonl"))
    rates = [event["learning_rate"] for event in events if event["event"] == "step"]
    expected = [0.05 * float(modern.schedule(step)) for step in range(6)]
    assert rates == pytest.approx(expected)
    assert result.learning_rates == pytest.approx([expected[2], expected[5]])


def test_resume_is_exact_with_averages_and_a_schedule(modern, whole, tmp_path):
    result, folder = whole
    run(modern, tmp_path, config=dataclasses.replace(CONFIG, epochs=1))
    resumed = run(modern, tmp_path, resume=True)
    assert resumed.history == result.history
    assert_trees_equal(resumed.state, result.state)
    last = json.loads((tmp_path / "checkpoints/6/progress.json").read_text())
    assert last["identity"]["ema_decay"] == 0.9

    with pytest.raises(IdentityError, match=r"`ema_decay` was 0\.9 and is now 0\.5"):
        run(modern, folder, config=dataclasses.replace(CONFIG, ema_decay=0.5), resume=True)
    longer = dataclasses.replace(modern, schedule=Schedule("cosine", 9, 2))
    with pytest.raises(IdentityError, match="`schedule` was "):
        run(longer, folder, resume=True)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_devices_and_micro_batches(modern, parallel):
    """All of it over eight devices, and in parts."""
    config = dataclasses.replace(CONFIG, epochs=1, parallel=parallel, accumulate_steps=3)
    result = run(modern, config=config)
    assert all(np.isfinite(result.history.minibatch_losses))
    assert jax.tree.structure(result.state.ema["params"]) == jax.tree.structure(result.state.params)
