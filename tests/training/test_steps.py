"""The steps on one device and on eight, under jit and pmap: the same numbers, compiled once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resnet_jax as rj
from resnet_jax.training import (
    Batch,
    Engine,
    Epoch,
    EvalPlan,
    create_state,
    epoch_order,
    eval_order,
    make_eval_step,
    make_train_step,
    set_learning_rate,
    zero_totals,
)

ENGINES = [("jit", 1), ("jit", 8), ("pmap", 1), ("pmap", 8)]
EVAL_ENGINES = [(parallel, count) for parallel in ("jit", "pmap") for count in (1, 2, 3, 8)]


def engine_of(parallel, count):
    return Engine.create(parallel, devices=jax.devices()[:count])


def start(task, engine):
    return engine.replicate(create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1)))


def epoch_of(images, engine, batch_size=32):
    order = epoch_order(jnp.arange(len(images)), batch_size)
    return engine.place(Epoch(images.images, images.labels, order))


def run(task, images, engine, steps=3):
    step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare)
    state, epoch, key = start(task, engine), epoch_of(images, engine), jax.random.key(1)
    losses = []
    for _ in range(steps):
        state, metrics = step(state, epoch, engine.share(key))
        losses.append(float(metrics["loss"]))
    return losses, engine.unreplicate(state)


@pytest.fixture(scope="module")
def single(task, images):
    return run(task, images, engine_of("jit", 1))


@pytest.mark.parametrize(("parallel", "count"), ENGINES[1:])
def test_devices_do_not_change_the_numbers(task, images, single, parallel, count):
    losses, state = run(task, images, engine_of(parallel, count))
    np.testing.assert_allclose(losses, single[0], rtol=1e-5)
    for one, many in zip(jax.tree.leaves(single[1]), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5)


def test_loss_falls_on_one_batch(task, images):
    engine = engine_of("jit", 1)
    step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare_valid)
    batch = engine.place(Batch(images.images[:32], images.labels[:32]))
    state, losses = start(task, engine), []
    for _ in range(20):
        state, metrics = step(state, batch, engine.share(jax.random.key(1)))
        losses.append(float(metrics["loss"]))
    assert losses[0] > 2.0
    assert losses[-1] < 0.1


def test_a_new_learning_rate_compiles_nothing_and_nothing_crosses_to_the_host(task, images):
    engine = engine_of("jit", 1)
    step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare)
    state, epoch = start(task, engine), epoch_of(images, engine)
    key, rate = engine.share(jax.random.key(1)), engine.replicate(np.float32(0.001))
    state, _ = step(state, epoch, key)
    state = state.replace(opt_state=set_learning_rate(state.opt_state, rate))
    with jax.transfer_guard("disallow"), jax.log_compiles(False):
        for _ in range(3):
            state, _ = step(state, epoch, key)
    assert step._cache_size() == 1


def test_the_state_is_donated(task, images):
    engine = engine_of("jit", 1)
    step = make_train_step(task.model, task.tx, engine=engine, prepare=task.prepare)
    state = start(task, engine)
    step(state, epoch_of(images, engine), engine.share(jax.random.key(1)))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_replicate_leaves_the_original_usable(task):
    engine = engine_of("jit", 1)
    state = create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1))
    copy = engine.replicate(state)
    jax.tree.map(lambda leaf: leaf.delete(), copy)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(("parallel", "count"), EVAL_ENGINES)
@pytest.mark.parametrize("number", [1, 37])
def test_evaluation_is_exact_on_ragged_sets(task, images, parallel, count, number):
    engine = engine_of(parallel, count)
    pixels, labels = images.images[:number], images.labels[:number]
    variables = create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1)).variables
    prepared, _ = task.prepare_valid(jnp.asarray(pixels), None, None)
    logits = task.model.apply(variables, prepared)
    losses = -jax.nn.log_softmax(logits)[jnp.arange(number), labels]

    step = make_eval_step(task.model, engine=engine, prepare=task.prepare_valid)
    plan = engine.place(
        EvalPlan(pixels, labels, *eval_order(number, 16, num_devices=engine.num_devices))
    )
    totals = engine.replicate(zero_totals())
    for _ in range(plan.order.shape[-2]):
        totals = step(engine.replicate(variables), plan, totals, engine.share(jax.random.key(2)))
    totals = engine.unreplicate(totals)
    assert int(totals.count) == number
    assert int(totals.correct) == int((logits.argmax(-1) == labels).sum())
    assert float(totals.loss) == pytest.approx(float(losses.sum()), rel=1e-5)


def test_batches_that_devices_cannot_share():
    with pytest.raises(ValueError, match=r"`batch_size` \(=20\) .* \(=8\).*work: 16 or 24"):
        engine_of("jit", 8).check_batch_size(20)
    with pytest.raises(ValueError, match="work: 8"):
        engine_of("jit", 8).check_batch_size(3)
    engine_of("jit", 8).check_batch_size(24)
    with pytest.raises(ValueError, match=r"`accumulate_steps` \(=4\).*work: 32 or 64"):
        engine_of("jit", 8).check_batch_size(40, 4)
    with pytest.raises(ValueError, match=r"`accumulate_steps` \(=0\) must be at least 1"):
        engine_of("jit", 8).check_batch_size(8, 0)


def test_unknown_parallel():
    with pytest.raises(ValueError, match=r"`parallel` \(='ddp'\) must be"):
        Engine.create("ddp")


def test_parallel_or_an_engine(task):
    with pytest.raises(ValueError, match=r"`parallel` \(='jit'\) or `engine`, not both"):
        make_train_step(task.model, task.tx, parallel="jit", engine=engine_of("jit", 1))
    with pytest.raises(ValueError, match=r"`parallel` \(='ddp'\) must be"):
        make_eval_step(task.model, parallel="ddp")


def one_step(model, task, images, engine, **options):
    """The state after a step over 32 images."""
    step = make_train_step(model, task.tx, engine=engine, prepare=task.prepare_valid, **options)
    batch = engine.place(Batch(images.images[:32], images.labels[:32]))
    state = engine.replicate(create_state(model, task.tx, jax.random.key(0), (1, 8, 8, 1)))
    state, metrics = step(state, batch, engine.share(jax.random.key(1)))
    return float(metrics["loss"]), state


def assert_close(result, expected):
    for leaf, wanted in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-4, atol=1e-5)


def test_accumulated_gradients_are_those_of_the_whole_batch(task, images):
    """Of a model whose normalisation does not look at the batch."""
    model = task.model.clone(norm_layer=partial(rj.GroupNorm, num_groups=4))
    loss, whole = one_step(model, task, images, engine_of("jit", 1))
    accumulated_loss, parts = one_step(model, task, images, engine_of("jit", 1), accumulate_steps=4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-5)
    assert_close(parts, whole)


def test_micro_batches_do_not_depend_on_the_devices(task, images):
    """BatchNorm sees which examples are in a micro-batch together."""
    loss, one = one_step(task.model, task, images, engine_of("jit", 1), accumulate_steps=4)
    engine = engine_of("jit", 4)
    shared_loss, four = one_step(task.model, task, images, engine, accumulate_steps=4)
    assert shared_loss == pytest.approx(loss, rel=1e-5)
    assert_close(four, one)


def test_statistics_per_device(task, images):
    """Each device normalises with its own; the running ones are their average."""
    engine = engine_of("pmap", 2)
    _, state = one_step(task.model, task, images, engine, sync_batch_norm=False)
    variables = create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1)).variables
    halves = []
    for part in (slice(0, 16), slice(16, 32)):
        prepared, _ = task.prepare_valid(jnp.asarray(images.images[part]), None, None)
        _, updates = task.model.apply(variables, prepared, train=True, mutable=["batch_stats"])
        halves.append(updates["batch_stats"])
    average = jax.tree.map(lambda *leaves: sum(leaves) / 2, *halves)
    assert_close(engine.unreplicate(state).batch_stats, average)
    first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], state.batch_stats) for i in (0, 1))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), first, second)))


def reduced(jaxpr):
    """Return the dtype and shape of every array that is summed over devices."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith("psum"):
            found += [(v.aval.dtype.name, v.aval.shape) for v in equation.invars]
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            found += reduced(inner) if hasattr(inner, "eqns") else []
    return found


def with_dtype(task, images, engine, reduce_dtype):
    return one_step(task.model, task, images, engine, reduce_dtype=reduce_dtype)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_gradients_are_summed_in_bfloat16(task, images, parallel):
    """They are rounded, but by no more than bfloat16 has, and the state is kept in float32."""
    engine = engine_of(parallel, 4)
    loss, exact = with_dtype(task, images, engine, "float32")
    rounded_loss, state = with_dtype(task, images, engine, "bfloat16")
    assert rounded_loss == loss
    start = create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1))
    exact, state = engine.unreplicate(exact), engine.unreplicate(state)
    params = (tree.params for tree in (start, exact, state))
    differs = False
    for old, wanted, got in zip(*map(jax.tree.leaves, params), strict=True):
        assert got.dtype == np.float32
        step, wanted_step = np.asarray(got - old), np.asarray(wanted - old)
        np.testing.assert_allclose(step, wanted_step, rtol=0, atol=np.abs(wanted_step).max() / 64)
        differs |= (got != wanted).any()
    assert differs
    for got, wanted in zip(
        *map(jax.tree.leaves, (state.batch_stats, exact.batch_stats)), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_only_gradients_are_summed_in_bfloat16(task, images):
    engine = engine_of("jit", 4)
    step = make_train_step(
        task.model, task.tx, engine=engine, prepare=task.prepare_valid, reduce_dtype="bfloat16"
    )
    state = engine.replicate(create_state(task.model, task.tx, jax.random.key(0), (1, 8, 8, 1)))
    batch = engine.place(Batch(images.images[:32], images.labels[:32]))
    sums = reduced(jax.make_jaxpr(step)(state, batch, engine.share(jax.random.key(1))).jaxpr)
    narrow = sorted(shape for dtype, shape in sums if dtype == "bfloat16")
    assert narrow == sorted(leaf.shape for leaf in jax.tree.leaves(state.params))


def test_one_device_has_nothing_to_round(task, images):
    exact, state = (
        with_dtype(task, images, engine_of("jit", 1), dtype)[1] for dtype in ("float32", "bfloat16")
    )
    for one, other in zip(*map(jax.tree.leaves, (exact, state)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_reduce_dtype(task):
    with pytest.raises(ValueError, match=r"`reduce_dtype` \(='float16'\) must be 'float32' or 'bf"):
        make_train_step(task.model, task.tx, reduce_dtype="float16")
