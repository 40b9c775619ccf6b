"""Cross-entropy, torch's, and the labels that it and the steps refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn

from resnet_jax.training import (
    Batch,
    Engine,
    Epoch,
    EvalBatch,
    EvalPlan,
    create_state,
    cross_entropy,
    eval_order,
    make_eval_step,
    make_optimizer,
    make_train_step,
    zero_totals,
)
from resnet_jax.training.losses import is_correct

IMAGES = np.random.default_rng(0).standard_normal((8, 2, 2, 1)).astype(np.float32)
LABELS = np.arange(8, dtype=np.int32) % 4
SOFT = np.full((8, 4), 0.25, np.float32)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(4)(images.reshape(len(images), -1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_is_torchs(smoothing, soft):
    random = np.random.default_rng(0)
    logits = random.standard_normal((6, 4)).astype(np.float32)
    labels = random.integers(0, 4, 6)
    if soft:
        labels = random.dirichlet(np.ones(4), 6).astype(np.float32)
    ours = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), label_smoothing=smoothing)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), label_smoothing=smoothing, reduction="none"
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_of_a_type_that_does_not_hold_the_number_of_classes(dtype, smoothing):
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((3, 700)), jnp.float32)
    logits = logits.at[1, 5].set(9.0)
    numbers = np.array([3, 5, 100])
    losses = jax.jit(partial(cross_entropy, label_smoothing=smoothing))
    with jax.enable_x64(dtype == "int64"):
        labels = jnp.asarray(numbers, dtype)
        np.testing.assert_allclose(losses(logits, labels), losses(logits, jnp.int32(numbers)), 1e-6)
        assert is_correct(logits, labels).tolist() == [False, True, False]


def test_a_label_that_is_no_class_stays_none_in_a_wider_or_signed_type():
    labels = jnp.asarray([2**32 - 1, 2**31, 1], jnp.uint32)
    assert jnp.isnan(jax.jit(cross_entropy)(jnp.zeros((3, 4)), labels)).tolist() == [1, 1, 0]


def test_logits_and_probabilities_of_any_two_types():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((8, 4)), jnp.bfloat16)
    with jax.numpy_dtype_promotion("strict"):
        assert cross_entropy(logits, jnp.asarray(SOFT)).dtype == jnp.float32
        whole = cross_entropy(logits, jax.nn.one_hot(LABELS, 4, dtype=jnp.int32))
    exact = cross_entropy(logits.astype(jnp.float32), jnp.asarray(LABELS))
    np.testing.assert_allclose(whole.astype(jnp.float32), exact, rtol=0.03)


def test_among_logits_that_are_nan_none_is_the_greatest():
    logits = jnp.asarray([[jnp.nan, 0], [0, jnp.nan], [1, 0]])
    assert is_correct(logits, jnp.zeros(3, jnp.int32)).tolist() == [False, False, True]


WRONG = [
    (LABELS[:, None], r"int32\[8, 1\]"),
    (LABELS.astype(np.float32), r"float32\[8\]"),
    (LABELS.astype(bool), r"bool\[8\]"),
    (LABELS[:4], r"int32\[4\]"),
    (SOFT[:, :1], r"float32\[8, 1\]"),
    (SOFT[:, :3], r"float32\[8, 3\]"),
    (SOFT[None], r"float32\[1, 8, 4\]"),
    (np.int32(0), r"int32\[\]"),
]


@pytest.mark.parametrize(("labels", "found"), WRONG)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_that_would_broadcast_are_refused(labels, found, smoothing):
    message = rf"`labels` \({found}\) must be integers of shape \[8\] or prob.* shape \[8, 4\]"
    with pytest.raises(ValueError, match=message):
        cross_entropy(jnp.zeros((8, 4)), jnp.asarray(labels), label_smoothing=smoothing)


@pytest.fixture(scope="module")
def engine():
    return Engine.create("jit", devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def state(engine):
    tx = make_optimizer(0.1)
    return create_state(Linear(), tx, jax.random.key(0), (1, 2, 2, 1))


def squares(logits, labels):
    """A loss that broadcasts."""
    return jnp.sum((logits - labels) ** 2, -1)


def train_on(batch, engine, state, **options):
    step = make_train_step(Linear(), make_optimizer(0.1), engine=engine, **options)
    return step(engine.replicate(state), engine.place(batch), jax.random.key(0))[1]["loss"]


@pytest.mark.parametrize(("labels", "found"), [row for row in WRONG if np.ndim(row[0])])
def test_a_training_step_refuses_them_whatever_the_loss(engine, state, labels, found):
    with pytest.raises(ValueError, match=rf"`labels` \({found}\) must be integers of shape"):
        train_on(Batch(IMAGES, labels), engine, state, loss_fn=squares)


def test_a_training_step_takes_classes_and_probabilities(engine, state):
    hard = train_on(Batch(IMAGES, LABELS), engine, state)
    one_hot = train_on(Batch(IMAGES, np.eye(4, dtype=np.float32)[LABELS]), engine, state)
    assert float(hard) == pytest.approx(float(one_hot), rel=1e-6)
    assert np.isfinite(train_on(Batch(IMAGES, SOFT), engine, state, loss_fn=squares))


def test_an_epoch_of_columns_or_too_few_labels(engine, state):
    order = np.arange(8, dtype=np.int32).reshape(2, 4)
    with pytest.raises(ValueError, match=r"`labels` \(int32\[4, 1\]\) must be integers"):
        train_on(Epoch(IMAGES, LABELS[:, None], order), engine, state)
    with pytest.raises(ValueError, match=r"`images` \(=8\) and `labels` \(=7\) must be equal"):
        train_on(Epoch(IMAGES, LABELS[:7], order), engine, state)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS[:, None], r"int32\[8, 1\]"),
        (LABELS.astype(np.float32), r"float32\[8\]"),
        (SOFT, r"float32\[8, 4\]"),
    ],
)
def test_an_evaluation_takes_integers_only(engine, state, labels, found):
    step = make_eval_step(Linear(), engine=engine)
    rest = engine.replicate(zero_totals()), jax.random.key(0)
    plan = EvalPlan(IMAGES, labels, *eval_order(8, 8))
    batch = EvalBatch(IMAGES, labels, np.ones(8, bool))
    for examples in (plan, batch):
        with pytest.raises(ValueError, match=rf"`labels` \({found}\) must be integers of .*\[8\],"):
            step(state.variables, engine.place(examples), *rest)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("label", "at"), [(-1, 2), (4, 0), (255, 7)])
def test_integers_that_are_no_classes(smoothing, label, at):
    labels = LABELS.copy()
    labels[at] = label
    logits = jnp.zeros((8, 4))
    message = rf"`labels\[{at}\]` \(={label}\) must be in \[0, 4\), .* of 1 labels in all"
    for convert in (np.asarray, jnp.asarray, np.int64, list):
        with pytest.raises(ValueError, match=message):
            cross_entropy(logits, convert(labels), label_smoothing=smoothing)
    # In a transformation no value can be read.
    losses = jax.jit(partial(cross_entropy, label_smoothing=smoothing))(logits, labels)
    np.testing.assert_array_equal(np.isnan(losses), np.arange(8) == at)


def test_logits_must_have_two_axes():
    with pytest.raises(ValueError, match=r"`logits` \(of shape \[8\]\) must be \[batch, classes\]"):
        cross_entropy(jnp.zeros(8), jnp.zeros(8, jnp.int32))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` \(=.*\) must be at least 0"):
        cross_entropy(jnp.zeros((8, 4)), jnp.asarray(LABELS), label_smoothing=smoothing)


@pytest.mark.parametrize("convert", [np.float32, np.float64, np.asarray, jnp.float32])
def test_scalars_of_numpy_and_jax_as_smoothing(convert):
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((8, 4)), jnp.bfloat16)
    plain = cross_entropy(logits, LABELS, label_smoothing=0.25)
    given = cross_entropy(logits, LABELS, label_smoothing=convert(0.25))
    assert given.dtype == plain.dtype == jnp.bfloat16
    np.testing.assert_array_equal(given, plain)


def test_micro_batches_that_are_not_equal(engine, state):
    with pytest.raises(ValueError, match=r"`accumulate_steps` \(=3\) must divide the .* \(=8\)"):
        train_on(Batch(IMAGES, LABELS), engine, state, accumulate_steps=3)
