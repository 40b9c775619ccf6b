"""Whole epochs in one program: the numbers of the loop over steps, in one compilation."""

from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from tiny_task import Small, assert_trees_equal, tiny_model

from resnet_jax.data import Pipeline, Transform, epoch_permutation, make_augmentation
from resnet_jax.training import (
    Engine,
    Epoch,
    EvalPlan,
    Examples,
    Schedule,
    create_state,
    epoch_order,
    eval_order,
    make_eval_epoch,
    make_eval_step,
    make_optimizer,
    make_train_epoch,
    make_train_step,
    zero_totals,
)

BATCH, EPOCHS = 32, 2
STEPS = 200 // BATCH
ENGINES = [("jit", 8), ("pmap", 1), ("pmap", 8)]
OPTIONS = {
    "schedule": Schedule("onecycle", EPOCHS * STEPS, 4),
    "ema_decay": 0.9,
    "count_correct": True,
}


def engine_of(parallel="jit", count=1):
    return Engine.create(parallel, devices=jax.devices()[:count])


def keys_of(engine):
    return engine.share(jax.random.key(1)), engine.share(jax.random.key(2))


def start(model, engine, rate=0.05):
    tx = make_optimizer(rate, nesterov=True, weight_decay=1e-3)
    state = create_state(model, tx, jax.random.key(0), (1, 8, 8, 1), ema=True)
    return tx, engine.replicate(state)


def by_steps(task, model, images, rate=0.05, **options):
    """Train in a loop over steps, each a call of its own, on one device."""
    engine = engine_of()
    tx, state = start(model, engine, rate)
    shuffle_key, step_key = keys_of(engine)
    step = make_train_step(model, tx, engine=engine, prepare=task.prepare, **OPTIONS, **options)
    rows = []
    for epoch in range(EPOCHS):
        order = epoch_order(epoch_permutation(shuffle_key, epoch, len(images)), BATCH)
        batch = engine.place(Epoch(images.images, images.labels, order))
        for _ in range(STEPS):
            state, metrics = step(state, batch, step_key)
            rows.append(jax.device_get(metrics))
    return jax.tree.map(lambda *values: np.stack(values), *rows), engine.unreplicate(state)


def by_epochs(task, model, images, engine, rate=0.05, **options):
    """Train by whole epochs."""
    tx, state = start(model, engine, rate)
    epoch = make_train_epoch(
        model, tx, batch_size=BATCH, engine=engine, prepare=task.prepare, **OPTIONS, **options
    )
    data, keys, rows = engine.place(Examples(images.images, images.labels)), keys_of(engine), []
    for _ in range(EPOCHS):
        state, metrics = epoch(state, data, keys)
        rows.append(jax.device_get(metrics))
    return jax.tree.map(lambda *values: np.concatenate(values), *rows), engine.unreplicate(state)


@pytest.fixture(scope="module")
def stepwise(task, images):
    return by_steps(task, Small(), images)


def test_an_epoch_is_the_loop_over_its_steps_to_the_bit(task, images, stepwise):
    metrics, state = by_epochs(task, Small(), images, engine_of())
    assert metrics["loss"].shape == (EPOCHS * STEPS,)
    assert int(state.step) == EPOCHS * STEPS
    assert_trees_equal(metrics, stepwise[0])
    assert_trees_equal(state, stepwise[1])


@pytest.mark.parametrize(("parallel", "count"), ENGINES)
def test_devices_do_not_change_the_numbers(task, images, stepwise, parallel, count):
    metrics, state = by_epochs(task, Small(), images, engine_of(parallel, count))
    np.testing.assert_allclose(metrics["loss"], stepwise[0]["loss"], rtol=1e-4)
    for one, many in zip(jax.tree.leaves(stepwise[1]), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5)


def test_an_epoch_takes_every_option_of_a_step():
    of_step, of_epoch = (signature(make).parameters for make in (make_train_step, make_train_epoch))
    assert {name: of_epoch.get(name) for name in of_step} == dict(of_step)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_gradients_are_summed_in_bfloat16(task, images, stepwise, parallel):
    """They are rounded by more than another order of sums, but by no more than bfloat16 has."""
    engine = engine_of(parallel, 4)
    metrics, state = by_epochs(task, Small(), images, engine, reduce_dtype="bfloat16")
    assert metrics["loss"][0] == pytest.approx(stepwise[0]["loss"][0], rel=1e-5)
    np.testing.assert_allclose(metrics["loss"], stepwise[0]["loss"], rtol=2e-2)
    rounded = np.abs(metrics["loss"] / stepwise[0]["loss"] - 1).max()
    assert rounded > 1e-5
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.float32.dtype}


def test_an_unknown_dtype_of_the_sum_is_refused():
    tx, _ = start(Small(), engine_of())
    with pytest.raises(ValueError, match=r"`reduce_dtype` \(='float16'\) must be 'float32' or 'bf"):
        make_train_epoch(Small(), tx, batch_size=BATCH, reduce_dtype="float16")


def test_a_network_of_convolutions_learns_the_same(task, images):
    # A low rate, because other roundings grow with every step.
    options = {"rate": 1e-3, "accumulate_steps": 2}
    metrics, state = by_epochs(task, task.model, images, engine_of(), **options)
    expected, after = by_steps(task, task.model, images, **options)
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_array_equal(metrics["learning_rate"], expected["learning_rate"])
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


def test_epochs_take_one_compilation_and_nothing_crosses_to_the_host(task, images):
    engine = engine_of()
    model = Small()
    tx, state = start(model, engine)
    epoch = make_train_epoch(
        model, tx, batch_size=BATCH, engine=engine, prepare=task.prepare, ema_decay=0.9
    )
    data, keys = engine.place(Examples(images.images, images.labels)), keys_of(engine)
    compiled = epoch.lower(state, data, keys).compile()
    first, losses = state, []
    with jax.transfer_guard("disallow"):
        for _ in range(3):
            state, metrics = compiled(state, data, keys)
            losses.append(metrics["loss"])
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.params))
    assert float(losses[-1].mean()) < float(losses[0].mean())
    assert not data.images.is_deleted()


def test_every_epoch_has_an_order_of_its_own_without_the_ragged_tail(images):
    """The labels are positions, and the loss of an example is its position."""
    engine, count = engine_of(), 7
    model = Small()
    tx, state = start(model, engine)
    epoch = make_train_epoch(
        model,
        tx,
        batch_size=np.uint8(2),
        engine=engine,
        ema_decay=0.9,
        prepare=lambda images, labels, keys: (images.astype(jnp.float32) / 255, labels),
        loss_fn=lambda logits, labels: 0.0 * logits[:, 0] + 2.0**labels,
    )
    data = engine.place(Examples(images.images[:count], np.arange(count, dtype=np.int32)))
    seen = []
    for _ in range(3):
        state, metrics = epoch(state, data, keys_of(engine))
        sums = [int(2 * loss) for loss in metrics["loss"]]
        assert all(one.bit_count() == 2 for one in sums)
        assert sum(sums).bit_count() == 6  # no example twice
        seen.append(tuple(sums))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("batch_size", [0, 201])
def test_a_batch_that_does_not_fit_is_refused(task, images, batch_size):
    engine = engine_of()
    model = Small()
    tx, state = start(model, engine)
    epoch = make_train_epoch(model, tx, batch_size=batch_size, engine=engine)
    data = engine.place(Examples(images.images, images.labels))
    with pytest.raises(ValueError, match=rf"`batch_size` \(={batch_size}\) must be from 1 to 200"):
        epoch(state, data, keys_of(engine))


def test_devices_must_share_a_batch_evenly():
    model = Small()
    tx, _ = start(model, engine_of())
    with pytest.raises(ValueError, match=r"`batch_size` \(=12\) must be divisible"):
        make_train_epoch(model, tx, batch_size=12, engine=engine_of("jit", 8))


@pytest.mark.parametrize(("parallel", "count"), [("jit", 1), *ENGINES])
def test_a_whole_evaluation_gives_the_sums_of_its_steps(task, images, parallel, count):
    engine, number = engine_of(parallel, count), 37
    variables = start(Small(), engine_of())[1].variables
    order = eval_order(number, 16, num_devices=engine.num_devices)
    pixels, labels = images.images[:number], images.labels[:number]
    plan = engine.place(EvalPlan(pixels, labels, *order))
    step = make_eval_step(Small(), engine=engine, prepare=task.prepare_valid)
    whole = make_eval_epoch(Small(), engine=engine, prepare=task.prepare_valid)
    key, variables = engine.share(jax.random.key(3)), engine.replicate(variables)
    expected = engine.replicate(zero_totals())
    for _ in range(len(order[0])):
        expected = step(variables, plan, expected, key)
    totals = engine.unreplicate(whole(variables, plan, engine.replicate(zero_totals()), key))
    expected = engine.unreplicate(expected)
    assert int(totals.count) == number
    assert int(totals.correct) == int(expected.correct)
    assert int(totals.step) == int(expected.step) == len(order[0])
    np.testing.assert_allclose(totals.loss, expected.loss, rtol=1e-6)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_an_accelerator_is_given_one_program_without_the_host(platform):
    """Lowered without an accelerator: a loop over the steps, whose state is donated."""
    model, engine = tiny_model(dtype=jnp.bfloat16), engine_of()
    transform = Transform(source=(8, 8), resize=8, crop=8, mean=(0.3,), std=(0.4,))
    augmentations = tuple(make_augmentation(text) for text in ("crop:1", "flip", "cutout:2"))
    tx = make_optimizer(0.05)
    epoch = make_train_epoch(
        model,
        tx,
        batch_size=BATCH,
        engine=engine,
        prepare=Pipeline(transform, augmentations, num_classes=10),
        ema_decay=0.9,
    )
    key = jax.random.key(0)
    arguments = jax.eval_shape(
        lambda: (
            create_state(model, tx, key, (1, 8, 8, 1), ema=True),
            Examples(jnp.zeros((200, 8, 8, 1), jnp.uint8), jnp.zeros((200,), jnp.int32)),
            (key, key),
        )
    )
    text = export.export(epoch, platforms=[platform])(*arguments).mlir_module()
    assert f"tensor<{BATCH}x8x8x1xbf16>" in text
    assert "stablehlo.while" in text
    assert "callback" not in text
    leaves = len(jax.tree.leaves(arguments[0]))
    assert text.count("tf.aliasing_output") + text.count("jax.buffer_donor") == leaves
