"""The rank of the true class, whatever shares the images out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.evaluation import rank_labels
from resnet_jax.training import Engine, EvalBatch


class Table(nn.Module):
    """Returns the image itself as the logits."""

    @nn.compact
    def __call__(self, x, train=False):
        return x + self.param("shift", nn.initializers.zeros, (x.shape[-1],))[None]


def as_floats(images, labels, keys):
    return jnp.asarray(images, jnp.float32), labels


def batches(images, labels, size):
    for start in range(0, len(images), size):
        rows = np.arange(start, start + size) % len(images)
        valid = np.arange(start, start + size) < len(images)
        yield EvalBatch(images[rows], labels[rows], valid)


@pytest.mark.parametrize(("parallel", "devices"), [("jit", 1), ("jit", 8), ("pmap", 8)])
def test_ranks_are_those_of_a_stable_sort(parallel, devices):
    """With equal logits among them, and a last batch that is not full."""
    generator = np.random.default_rng(0)
    logits = generator.integers(0, 5, (19, 7)).astype(np.float32)
    labels = generator.integers(0, 7, 19).astype(np.int32)
    engine = Engine.create(parallel, devices=jax.devices()[:devices])
    variables = {"params": {"shift": jnp.zeros(7)}}
    found = list(
        rank_labels(Table(), variables, batches(logits, labels, 8), as_floats, engine=engine)
    )
    assert [len(part.ranks) for part in found] == [8, 8, 3]
    order = np.argsort(-logits, axis=1, kind="stable")
    expected = [row.tolist().index(label) for row, label in zip(order, labels, strict=True)]
    assert np.concatenate([part.ranks for part in found]).tolist() == expected
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(shares[np.arange(19), labels])
    np.testing.assert_allclose(np.concatenate([part.losses for part in found]), losses, rtol=1e-5)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_is_no_hit(label):
    batch = EvalBatch(np.eye(2, 3, dtype=np.float32), np.array([label, 1]), np.ones(2, bool))
    engine = Engine.create(devices=jax.devices()[:1])
    variables = {"params": {"shift": jnp.zeros(3)}}
    (found,) = rank_labels(Table(), variables, [batch], as_floats, engine=engine)
    assert found.ranks.tolist() == [3, 0]
    assert np.isnan(found.losses[0])


def test_what_is_no_number_is_no_hit():
    images = np.array([[np.nan, 1.0, 2.0], [0.0, 1.0, 2.0]], np.float32)
    batch = EvalBatch(images, np.array([0, 2], np.int32), np.ones(2, bool))
    engine = Engine.create(devices=jax.devices()[:1])
    variables = {"params": {"shift": jnp.zeros(3)}}
    (found,) = rank_labels(Table(), variables, [batch], as_floats, engine=engine)
    assert found.ranks.tolist() == [3, 0]
    assert np.isnan(found.losses[0])
